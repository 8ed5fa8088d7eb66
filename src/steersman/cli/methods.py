"""`steersman methods`: what there is to choose from."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from steersman.cli.console import out

if TYPE_CHECKING:
    from steersman.methods import Method


def methods(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="As the table of the documentation.")
    ] = False,
) -> None:
    """List the methods, their settings and where they act."""
    from steersman.methods import METHODS
    from steersman.methods.table import markdown as table

    if markdown:
        typer.echo(table(METHODS.values()), nl=False)
        return
    for name, method in METHODS.items():
        out.print(Text(name, "bold"))
        out.print(Padding(_described(method), (0, 0, 1, 4)))


def _described(method: "type[Method]") -> Text:
    settings = ", ".join(f"{name} = {value}" for name, value in vars(method()).items())
    said = {"last": "from the prompt's last token on", "all": "at every token"}
    where = said.get(method.tokens, f"at the tokens {method.tokens!r}")
    several = "several features; " if method.several else ""
    plant = "needs no plant" if method.plant == "none" else "needs a plant"
    return Text.assemble(
        (method.__doc__ or "").strip().splitlines()[0],
        "\n",
        (
            f"{settings}; {several}{plant}; {where}; {method.reference} reference, "
            f"{method.execution}",
            "dim",
        ),
    )
