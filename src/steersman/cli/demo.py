"""`steersman demo`: the whole idea on the model that comes with the package."""

from pathlib import Path
from typing import Annotated

import typer

from steersman.cli.console import require_free_folder

_MARK = ".steersman-demo"
_DEFAULT = Path("steersman-demo")


def demo(
    folder: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="Where the report and figures go."),
    ] = _DEFAULT,
    seeds: Annotated[int, typer.Option(min=1, help="How many repetitions to average.")] = 2,
) -> None:
    """Steer the small model that comes with the package, and measure by ground truth.

    Needs no download and no GPU; writes a report.
    """
    require_free_folder(folder, _MARK)
    from steersman.demo import run_demo

    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).touch()
    run_demo(folder, seeds)
