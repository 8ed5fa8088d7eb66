"""`steersman fit`: from contrastive pairs to a saved steering."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from steersman.cli.console import note, out
from steersman.cli.options import (
    BatchSize,
    DeviceMap,
    Dtype,
    Model,
    OutFolder,
    PositionsName,
    QuestionsAsChat,
    Quiet,
    TokensOption,
)
from steersman.errors import InputError

Pairs = Annotated[
    str | None,
    typer.Argument(
        metavar="[PAIRS]",
        help="A csv, json, jsonl or parquet file with a desired and an undesired side, and perhaps "
        "a continuation behind both; or [bold]windtunnel:toxicity[/bold] and other behaviours of "
        "the wind tunnel.",
        show_default=False,
    ),
]
FeaturePairs = Annotated[
    list[str] | None,
    typer.Option(
        "--feature",
        metavar="NAME=PAIRS",
        help="In place of PAIRS: a feature to steer together with others; give one for each.",
        show_default=False,
    ),
]
Method = Annotated[str, typer.Option(help="See steersman methods.")]
StateWeight = Annotated[
    float | None, typer.Option(help="Weight of the error at each block; by default the method's.")
]
InputWeight = Annotated[float | None, typer.Option(help="Weight of the input.")]
FinalWeight = Annotated[
    float | None, typer.Option(help="Weight of the error after the last block.")
]
DirectionName = Annotated[
    str | None,
    typer.Option(
        help="Along what the feature is pushed: mean, pca, lda, raptor, confident:BETA, max-sim, "
        "native, rfm, probe, whitened, or one of them with |filter:AXES or |remove:AXES behind it; "
        "by default the method's, mostly mean.",
        show_default=False,
    ),
]
ObserverName = Annotated[
    str | None,
    typer.Option(
        help="Along what the feature is observed, by the same names; by default the direction.",
        show_default=False,
    ),
]
CacheFolder = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="DIR",
        help="Keep the states of the examples here, where the next fit finds them.",
        show_default=False,
    ),
]
JacobianPrompts = Annotated[
    int, typer.Option(min=1, help="Over how many desired examples in all the plant is averaged.")
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        help="Keep the identification here; the same command goes on from it.",
        show_default=False,
    ),
]
Chunk = Annotated[int, typer.Option(min=1, help="Cotangents at a time; less, less memory.")]
Count = Annotated[int, typer.Option(min=1, help="Pairs drawn from the wind tunnel.")]
DrawSeed = Annotated[int, typer.Option(help="Of that draw.")]


def fit(
    model: Model,
    folder: OutFolder,
    pairs: Pairs = None,
    feature: FeaturePairs = None,
    method: Method = "a-lqr",
    q: StateWeight = None,
    r: InputWeight = None,
    qf: FinalWeight = None,
    positions: PositionsName = None,
    tokens: TokensOption = None,
    direction: DirectionName = None,
    observer: ObserverName = None,
    jacobian_prompts: JacobianPrompts = 32,
    checkpoint: Checkpoint = None,
    cache: CacheFolder = None,
    batch_size: BatchSize = 16,
    chunk: Chunk = 128,
    dtype: Dtype = "auto",
    device_map: DeviceMap = None,
    chat: QuestionsAsChat = False,
    count: Count = 200,
    seed: DrawSeed = 0,
    quiet: Quiet = False,
) -> None:
    """Fit a steering from contrastive or aligned pairs and save it."""
    from steersman import fitting
    from steersman.cli.models import open_model, open_pairs
    from steersman.directions import ALONE
    from steersman.reading import Examples

    named = _named_files(pairs, feature, ALONE)
    _refuse_early(method, positions, (direction, observer), folder)
    examples = {
        name: open_pairs(file, count=count, seed=seed, chat=chat) for name, file in named.items()
    }
    for name, one in examples.items():
        note(f"{name}: {one}" if feature else str(one))
    each = max(1, jacobian_prompts // len(examples))
    prompts = [text for one in examples.values() for text in Examples.of(one).pairs.desired[:each]]
    loaded, tokenizer = open_model(model, dtype, device_map)
    steering = fitting.fit(
        loaded,
        tokenizer,
        examples,
        method=method,
        direction=direction,
        observer=observer,
        jacobian_prompts=prompts,
        q=q,
        r=r,
        qf=qf,
        positions=positions,
        batch_size=batch_size,
        chunk=chunk,
        checkpoint=checkpoint,
        cache=cache,
        progress=not quiet,
    )
    steering = steering.at(tokens, tokenizer)
    saved = steering.save_pretrained(folder)
    out.print(Text(steering.summary()), soft_wrap=True)
    if steering.coupling is not None and len(examples) > 1:
        out.print(Text(f"\n{steering.coupling}\n"), soft_wrap=True)
    out.print(Text(f"saved in {saved}"))


def _named_files(pairs: str | None, features: list[str] | None, alone: str) -> dict[str, str]:
    """Where the pairs of each feature are.

    Raises:
        InputError: no pairs, both ways of giving them, or a feature without a name or a file.
    """
    if (pairs is None) == (not features):
        raise InputError("give PAIRS for one feature, or --feature NAME=PAIRS for each of several.")
    if pairs is not None:
        return {alone: pairs}
    named: dict[str, str] = {}
    for word in features or []:
        name, _, file = word.partition("=")
        if not (name and file):
            raise InputError(f"--feature {word}: expected NAME=PAIRS.")
        if name in named:
            raise InputError(f"--feature names {name!r} twice.")
        named[name] = file
    return named


def _refuse_early(
    method: str, positions: str | None, rules: tuple[str | None, ...], folder: Path
) -> None:
    """Refuse whatever can be refused before the model is loaded.

    Raises:
        UnknownNameError: no such method, direction, observer or position rule.
        ArtifactError: the folder holds files that are not a steering's.
    """
    from steersman.directions import observer_named
    from steersman.methods import method_named
    from steersman.plant import positions_named
    from steersman.store.folder import require_ours

    method_named(method)
    for rule in rules:
        if rule is not None:
            observer_named(rule)
    if positions is not None:
        positions_named(positions)
    if folder.is_dir():
        require_ours((entry.name for entry in folder.iterdir()), str(folder))
