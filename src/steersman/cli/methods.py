"""`steersman methods`: what there is to choose from."""

from dataclasses import fields
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from steersman.cli.console import out

if TYPE_CHECKING:
    from steersman.methods import Method


def methods() -> None:
    """List the methods, their settings and where they act."""
    from steersman.methods import METHODS

    for name, method in METHODS.items():
        out.print(Text(name, "bold"))
        out.print(Padding(_described(method), (0, 0, 1, 4)))


def _described(method: "type[Method]") -> Text:
    settings = ", ".join(f"{f.name} = {f.default}" for f in fields(method))  # type: ignore[arg-type]
    where = "from the prompt's last token on" if method.tokens == "last" else "at every token"
    plant = "needs no plant" if method.plant == "none" else "needs a plant"
    return Text.assemble(
        (method.__doc__ or "").strip().splitlines()[0],
        "\n",
        (f"{settings}; {plant}; {where}; {method.reference} reference, {method.execution}", "dim"),
    )
