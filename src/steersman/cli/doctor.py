"""`steersman doctor`: can this model be steered?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from steersman.cli.console import note, out
from steersman.cli.options import DeviceMap, Dtype, Model

if TYPE_CHECKING:
    from steersman.invariants import Check
    from steersman.plant import Info


def doctor(
    model: Model,
    dtype: Dtype = "auto",
    device_map: DeviceMap = None,
    prompts: Annotated[
        int, typer.Option(min=1, help="Prompts of the fit whose cost is estimated.")
    ] = 32,
    seed: Annotated[int, typer.Option(help="Of the random steering used in the proof.")] = 0,
) -> None:
    """Describe a model, estimate a fit, and prove that steering it keeps every promise.

    Exits with 0 only if every invariant holds.
    """
    from steersman.cli.models import open_model
    from steersman.doctor import diagnose

    loaded, tokenizer = open_model(model, dtype, device_map)
    note("examining ...")
    found = diagnose(loaded, tokenizer, prompts=prompts, seed=seed)
    out.print(_facts(found.info, str(found.cost)))
    out.print(_verdicts(found.checks))
    failed = sum(not check.holds for check in found.checks)
    if failed:
        out.print(Text(f"{failed} of {len(found.checks)} invariants do not hold.", "bold red"))
        raise typer.Exit(1)
    out.print(Text(f"All {len(found.checks)} invariants hold.", "bold green"))


def _facts(info: "Info", cost: str) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    how = "known by name" if info.source == "table" else "found by shape and proved by a forward"
    facts = {
        "model": f"{info.model_class} ({info.model_type}), {info.parameters:,} parameters",
        "blocks": f"{info.blocks} at {info.path}, {how}",
        "state size": f"n = {info.n}",
        "dtype": ", ".join(info.dtypes) + (f", {info.quantization}" if info.quantization else ""),
        "device map": ", ".join(info.devices),
        "attention": info.attention,
        "context": f"{info.context} tokens" if info.context else "no limit named",
        "vocabulary": f"{info.vocabulary:,} tokens",
        "chat template": "yes" if info.chat_template else "no",
        "pad side": f"{info.padding_side}" + ("" if info.has_pad_token else ", no pad token"),
        "cost of a fit": cost,
    }
    for name, fact in facts.items():
        table.add_row(name, Text(fact))
    return table


def _verdicts(checks: Sequence["Check"]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column("invariant")
    table.add_column("measured", justify="right", no_wrap=True)
    table.add_column("tolerance", justify="right", no_wrap=True)
    for check in checks:
        verdict = Text("pass", "green") if check.holds else Text("FAIL", "bold red")
        table.add_row(
            verdict,
            Text.assemble(check.name, "\n", (check.detail, "dim")),
            _number(check.measured),
            _number(check.tolerance),
        )
    return table


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.2g}"
