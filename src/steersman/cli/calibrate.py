"""`steersman calibrate`: how strong a steering may be."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from steersman.cli.console import note, out, require_free_file
from steersman.cli.options import (
    BatchSize,
    Chat,
    Correction,
    DeviceMap,
    Dtype,
    Evaluations,
    ExecutionOption,
    JsonFile,
    Model,
    NewTokens,
    PromptCount,
    Quiet,
    ReferenceOption,
    RelinearizeOption,
    SteeringArgument,
    TokensOption,
    UnseenPrompts,
)
from steersman.errors import InputError
from steersman.files import write_whole

if TYPE_CHECKING:
    from steersman.calibration import Budget, Calibration

_KEY = "steersman_calibration"
_ROUNDING = 1e-8

Divergence = Annotated[
    float | None,
    typer.Option(
        "--kl", help="Largest KL from the unsteered model, nats per token.", show_default=False
    ),
]
Ratio = Annotated[
    float | None,
    typer.Option(
        "--perplexity",
        help="Largest perplexity under the unsteered model, relative to unsteered text; above 1.",
        show_default=False,
    ),
]
Push = Annotated[
    float | None,
    typer.Option(
        "--effort",
        help="Largest length of what is added, relative to the state it is added to.",
        show_default=False,
    ),
]
Along = Annotated[
    list[str] | None,
    typer.Option(
        "--along",
        metavar="NAME=NUMBER",
        help="Of several features, the target of each at strength 1; once for each.",
        show_default=False,
    ),
]
Maximum = Annotated[
    float, typer.Option(help="Largest strength to try; below zero searches downwards.")
]
Tolerance = Annotated[float, typer.Option(help="How exactly, as a share of the strength.")]
SamplingSeed = Annotated[int, typer.Option(help="Of the sampling.")]


def calibrate(
    model: Model,
    steering: SteeringArgument,
    prompts: UnseenPrompts,
    kl: Divergence = None,
    perplexity: Ratio = None,
    effort: Push = None,
    along: Along = None,
    maximum: Maximum = 8.0,
    tolerance: Tolerance = 0.02,
    evaluations: Evaluations = 16,
    tokens: TokensOption = None,
    reference: ReferenceOption = None,
    execution: ExecutionOption = None,
    relinearize: RelinearizeOption = "fit",
    correction: Correction = 0.0,
    max_new_tokens: NewTokens = 40,
    seed: SamplingSeed = 0,
    batch_size: BatchSize = 16,
    chat: Chat = False,
    count: PromptCount = 64,
    dtype: Dtype = "auto",
    device_map: DeviceMap = None,
    quiet: Quiet = False,
    file: JsonFile = None,
) -> None:
    """Find the largest strength whose side effects stay within a budget.

    Exits with 1 where no strength does.
    """
    from steersman import calibration
    from steersman.cli.models import open_prompts, open_steered
    from steersman.cli.tokens import rule_of

    budget, ray = _budget(kl, perplexity, effort), _ray(along)
    if file is not None:
        require_free_file(file, _KEY)
    examples = open_prompts(prompts, count=count, seed=seed, chat=chat)
    note(f"{len(examples)} prompts")
    loaded_steering, loaded, tokenizer = open_steered(steering, model, dtype, device_map)
    found = calibration.calibrate(
        loaded_steering,
        loaded,
        tokenizer,
        examples,
        budget=budget,
        along=ray,
        maximum=maximum,
        tolerance=tolerance,
        evaluations=evaluations,
        new_tokens=max_new_tokens,
        seed=seed,
        batch_size=batch_size,
        tokens=rule_of(tokens, tokenizer),
        reference=reference,
        execution=execution,
        relinearize=relinearize,
        correction=correction,
        progress=not quiet,
    )
    out.print(_curve(found))
    out.print(Text(str(found)), soft_wrap=True)
    if file is not None:
        write_whole(json.dumps({_KEY: found.to_json()}, indent=1) + "\n", file)
        out.print(Text(f"written to {file}"))
    if not found.met:
        raise typer.Exit(1)


def _budget(kl: float | None, perplexity: float | None, effort: float | None) -> "Budget":
    from steersman.calibration import KL, Effort, Perplexity

    asked: dict[Callable[[float], Budget], float | None]
    asked = {KL: kl, Perplexity: perplexity, Effort: effort}
    given = [kind(limit) for kind, limit in asked.items() if limit is not None]
    if len(given) != 1:
        raise InputError("give one budget: --kl, --perplexity or --effort.")
    return given[0]


def _ray(words: list[str] | None) -> dict[str, float] | None:
    from steersman.cli.strengths import strength_of

    found = strength_of(words, "--along")
    if isinstance(found, float):
        raise InputError("--along needs the name of each feature, as in --along truth=1.")
    return found


def _curve(found: "Calibration") -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("strength", justify="right")
    table.add_column(found.aim.name, justify="right")
    table.add_column("standard error", justify="right")
    table.add_column("")
    for point in found.curve:
        here = "<-" if point.strength == found.strength else ""
        value, se = (0.0 if abs(v) < _ROUNDING else v for v in (point.value, point.se))
        table.add_row(f"{point.strength:.4g}", f"{value:.4g}", f"{se:.2g}", Text(here, "bold"))
    return table
