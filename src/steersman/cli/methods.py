"""`steersman methods`: what there is to choose from."""

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
    settings = ", ".join(f"{name} = {value}" for name, value in vars(method()).items())
    where = "from the prompt's last token on" if method.tokens == "last" else "at every token"
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
