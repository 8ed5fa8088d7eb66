"""`steersman methods`: what there is to choose from."""

from dataclasses import fields

from rich import box
from rich.table import Table
from rich.text import Text

from steersman.cli.console import out


def methods() -> None:
    """List the methods, their settings and where they act."""
    from steersman.methods import METHODS

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("method", "what it is", "settings", "plant", "tokens", "reference, execution"):
        table.add_column(column, overflow="fold")
    for name, method in METHODS.items():
        settings = ", ".join(f"{f.name}={f.default}" for f in fields(method))  # type: ignore[arg-type]
        table.add_row(
            Text(name, "bold"),
            Text((method.__doc__ or "").strip().splitlines()[0]),
            Text(settings),
            "needed" if method.needs_plant else "none",
            method.tokens,
            f"{method.reference}, {method.execution}",
        )
    out.print(table)
