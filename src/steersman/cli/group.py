"""What all commands share: errors become messages and exit codes."""

import warnings
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from steersman import __version__
from steersman.cli.console import complain, out
from steersman.errors import SteersmanError

INTERRUPTED = 130


class SteersmanGroup(TyperGroup):
    """Commands whose user errors are one message on stderr, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            try:
                return super().invoke(ctx)
            except SteersmanError as error:
                complain("error", str(error))
                raise typer.Exit(1) from error
            except KeyboardInterrupt as error:
                complain("interrupted", "by the keyboard")
                raise typer.Exit(INTERRUPTED) from error


def _show_version(asked: bool) -> bool:
    if asked:
        out.print(Text(f"steersman {__version__}"))
        raise typer.Exit
    return asked


def options_of_all(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", is_eager=True, callback=_show_version
        ),
    ] = False,
) -> None:
    """Steer language models in closed loop with optimal control."""


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    complain("warning", str(message))
