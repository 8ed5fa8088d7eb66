"""`steersman fit`: from contrastive pairs to a saved steering."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from steersman.cli.console import note, out
from steersman.cli.options import DeviceMap, Dtype, Model, OutFolder, QuestionsAsChat


def fit(
    model: Model,
    pairs: Annotated[
        str,
        typer.Argument(
            metavar="PAIRS",
            help="A csv, json, jsonl or parquet file, or [bold]windtunnel:toxicity[/bold] and "
            "other behaviours of the wind tunnel.",
            show_default=False,
        ),
    ],
    folder: OutFolder,
    method: Annotated[str, typer.Option(help="See steersman methods.")] = "a-lqr",
    q: Annotated[float, typer.Option(help="Weight of the error at each block.")] = 0.1,
    r: Annotated[float, typer.Option(help="Weight of the input.")] = 1.0,
    qf: Annotated[float, typer.Option(help="Weight of the error after the last block.")] = 0.1,
    positions: Annotated[
        str,
        typer.Option(
            help="Where the direction is read: last, all, response, first-response, marker:TEXT "
            "or regex:PATTERN."
        ),
    ] = "last",
    jacobian_prompts: Annotated[
        int, typer.Option(min=1, help="Over how many desired examples the plant is averaged.")
    ] = 32,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Keep the identification here; the same command goes on from it.",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples at a time.")] = 16,
    chunk: Annotated[
        int, typer.Option(min=1, help="Cotangents at a time; less, less memory.")
    ] = 64,
    dtype: Dtype = "auto",
    device_map: DeviceMap = None,
    chat: QuestionsAsChat = False,
    count: Annotated[int, typer.Option(min=1, help="Pairs drawn from the wind tunnel.")] = 200,
    seed: Annotated[int, typer.Option(help="Of that draw.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Fit a steering from contrastive pairs and save it."""
    from steersman import fitting
    from steersman.cli.models import open_model, open_pairs
    from steersman.methods import method_named
    from steersman.plant import positions_named
    from steersman.store.folder import require_ours

    # Whatever can be refused is refused before the model is loaded.
    method_named(method)
    positions_named(positions)
    if folder.is_dir():
        require_ours((entry.name for entry in folder.iterdir()), str(folder))
    examples = open_pairs(pairs, count=count, seed=seed, chat=chat)
    note(str(examples))
    loaded, tokenizer = open_model(model, dtype, device_map)
    steering = fitting.fit(
        loaded,
        tokenizer,
        examples,
        method=method,
        jacobian_prompts=list(examples.desired[:jacobian_prompts]),
        q=q,
        r=r,
        qf=qf,
        positions=positions,
        batch_size=batch_size,
        chunk=chunk,
        checkpoint=checkpoint,
        progress=not quiet,
    )
    saved = steering.save_pretrained(folder)
    out.print(Text(steering.summary()), soft_wrap=True)
    out.print(Text(f"saved in {saved}"))
