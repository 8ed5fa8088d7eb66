"""`steersman bound`: how far a steered feature can be from its prediction."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from steersman.cli.console import note, out, require_free_file
from steersman.cli.options import (
    Chat,
    DeviceMap,
    Dtype,
    ExecutionOption,
    Model,
    PromptCount,
    Quiet,
    SteeringPath,
    Target,
    UnseenPrompts,
)

if TYPE_CHECKING:
    from steersman.bounding import TrackingBound

Check = Annotated[
    str | None,
    typer.Option(
        "--check",
        metavar="FILE",
        help="Other prompts: how often the bands hold there, and how tight they are.",
        show_default=False,
    ),
]
Feature = Annotated[
    str | None,
    typer.Option(
        "--feature", help="Of several features, the one that is bounded.", show_default=False
    ),
]
Tokens = Annotated[
    Literal["last", "all"],
    typer.Option(
        "--tokens", help="What is steered: last, from the prompt's last token on, or all."
    ),
]
NewTokens = Annotated[
    int,
    typer.Option(
        "--new-tokens", min=1, help="How many tokens it is for; 1 is the prompt's last one."
    ),
]
Level = Annotated[float, typer.Option(help="Probability of the conformal bands.")]
Safety = Annotated[float, typer.Option(help="Factor on the worst seen, for the worst cases.")]
DrawSeed = Annotated[int, typer.Option("--seed", help="Of that draw; --check draws with the next.")]
OutFile = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Keep the bound here, as JSON; TrackingBound.from_json reads it.",
        show_default=False,
    ),
]


def bound(
    model: Model,
    steering: SteeringPath,
    prompts: UnseenPrompts,
    target: Target = None,
    feature: Feature = None,
    execution: ExecutionOption = None,
    tokens: Tokens = "last",
    new_tokens: NewTokens = 1,
    level: Level = 0.95,
    safety: Safety = 1.25,
    check: Check = None,
    chat: Chat = False,
    count: PromptCount = 64,
    seed: DrawSeed = 0,
    dtype: Dtype = "auto",
    device_map: DeviceMap = None,
    quiet: Quiet = False,
    file: OutFile = None,
) -> None:
    """Bound how far a steered feature can be from what was predicted, on other prompts like these.

    The prompts have to be drawn at random; a third of them goes into the plant, the rest
    calibrates. Prints the prediction and each band, state by state, in natural units.
    """
    from steersman import bounding
    from steersman.bounding.saving import SIGNATURE
    from steersman.cli.models import open_prompts, open_steered
    from steersman.cli.strengths import strength_of

    asked = strength_of(target, "--target")
    if file is not None:
        require_free_file(file, SIGNATURE)
    examples = open_prompts(prompts, count=count, seed=seed, chat=chat)
    others = [] if check is None else open_prompts(check, count=count, seed=seed + 1, chat=chat)
    note(f"{len(examples)} prompts")
    loaded_steering, loaded, tokenizer = open_steered(steering, model, dtype, device_map)
    found = bounding.bound(
        loaded_steering,
        loaded,
        tokenizer,
        examples,
        target=1.0 if asked is None else asked,
        feature=feature,
        execution=execution,
        tokens=tokens,
        new_tokens=new_tokens,
        level=level,
        safety=safety,
        progress=not quiet,
    )
    out.print(_table(found))
    for band in found.bands:
        out.print(Text(f"{band.name}: {band.guarantee}"), soft_wrap=True)
    if others:
        held = found.coverage(loaded, tokenizer, others, progress=not quiet)
        out.print(Text(f"\n{held.table()}"), soft_wrap=True)
    if file is not None:
        note(f"written to {found.to_json(file)}")


def _table(found: "TrackingBound") -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("state", "predicted", *(f"+- {band.name}" for band in found.bands)):
        table.add_column(name, justify="right")
    for state in found.foresight.counted.nonzero().flatten().tolist():
        radii = (f"{float(band.radius[state]):.3g}" for band in found.bands)
        table.add_row(str(state), f"{float(found.predicted[state]):.3f}", *radii)
    return table
