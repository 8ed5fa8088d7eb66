"""`steersman export`: what a steering adds, as a file for another tool."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.text import Text

from steersman.cli.blocks import BlocksOption, blocks_of
from steersman.cli.console import out
from steersman.cli.options import SteeringArgument
from steersman.errors import InputError

TheirFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="The file to write.", show_default=False)
]
FormatOption = Annotated[
    Literal["gguf", "svec", "steering-vectors", "caa"] | None,
    typer.Option(
        "--format", help="By default what the file ends in: .gguf or .svec.", show_default=False
    ),
]


def export(
    steering: SteeringArgument,
    file: TheirFile,
    format: FormatOption = None,
    blocks: BlocksOption = None,
) -> None:
    """Write what a steering adds for target 1, for another tool."""
    from steersman.exchange import export_vectors
    from steersman.steering import Steering

    if file.exists():
        raise InputError(f"{file} is there already. Choose another file.")
    loaded = Steering.from_pretrained(steering)
    written = export_vectors(loaded, file, format=format, blocks=blocks_of(blocks))
    out.print(Text(f"written to {written}"))
