"""A reproduction in words and numbers, for a terminal and for a page."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from steersman.evaluation.scores import Score
from steersman.reproduction.found import Found, Line
from steersman.reproduction.item import Item, Measure
from steersman.reproduction.published import UNSTEERED, Published, is_model

if TYPE_CHECKING:
    from steersman.reproduction.result import Done, Reproduction

DAGGER = "†"
"""Marks a number that was read second-hand."""
ABSENT = "not in this library"
FAILED = "could not be run"
HERE = "here"
"""What the columns of our own numbers are called."""

_KINDS = {
    "concepts": "concepts:NAME",
    "concepts+": "concepts:NAME twice",
    "prompts": "nothing (prompts, if you like)",
}
_LONG = 1000
"""From here on a number is shown without digits behind the point."""


@dataclass(frozen=True)
class Cell:
    """A number of a table.

    Args:
        text: as it is shown; "" where there is none.
        se: its standard error as it is shown; "" where it is not known.
        mark: of what is second-hand.
        note: what is doubtful about it.
    """

    text: str = ""
    se: str = ""
    mark: str = ""
    note: str = ""

    def __str__(self) -> str:
        """For a terminal."""
        error = f" +- {self.se}" if self.se else ""
        return f"{self.text}{error}{self.mark}"


@dataclass(frozen=True)
class Table:
    """An item's rows, ours and the published ones beside each other.

    Args:
        groups: the measures, each with the models that it is known of, "" for ours.
        rows: what each row is called, what it is in the paper, and its cells.
    """

    groups: tuple[tuple[str, tuple[str, ...]], ...]
    rows: tuple[tuple[str, str, tuple[Cell, ...]], ...]


def table(done: "Done") -> Table:
    """Our numbers and the published ones; a published method that we have not has a row too."""
    item, lines = done.item, done.found.lines
    groups = tuple((one, ("", *_models(item, one))) for one in item.measures)
    rows, told = [], set[str]()
    for line in lines:
        first = line.method != "" and line.method not in told
        told |= {line.method}
        cells = [
            _ours(measure, line.values.get(measure.name))
            if not model
            else _published(item, measure, model, line.method if first else "")
            for measure, models in groups
            for model in models
        ]
        shown = FAILED if line.failed else _paper(line)
        rows.append((line.label, shown, tuple(cells)))
    methods = dict.fromkeys(one.method for one in item.published if one.method not in told)
    for method in methods:
        cells = [
            Cell() if not model else _published(item, measure, model, method)
            for measure, models in groups
            for model in models
        ]
        rows.append((method, ABSENT, tuple(cells)))
    return Table(tuple((one.heading, models) for one, models in groups), tuple(rows))


def comparable(item: Item, model: str) -> str:
    """One sentence: whether our numbers can be held against the published ones."""
    if not item.published:
        return f"No number of the paper is known to us here; ours are of {model}."
    models = ", ".join(item.models)
    if any(is_model(model, one) for one in item.models):
        return (
            f"Published numbers are of {models}; those of {model} can be held against ours, with "
            "what is said below to differ."
        )
    return (
        f"Published numbers are of {models}, ours of {model}, which is another model on other "
        "data: they are not comparable, and only which way a method pushes can be read across."
    )


def notes(found: Found) -> list[str]:
    """What to know of our numbers, and why rows have none."""
    failed = [f"{line.label} {FAILED}: {line.failed}" for line in found.lines if line.failed]
    return [*found.notes, *failed]


def sources(item: Item) -> list[str]:
    """Where the published numbers are from, and what is doubtful about them."""
    lines = []
    for source in dict.fromkeys(one.source for one in item.published):
        second = any(one.second_hand for one in item.published if one.source == source)
        mark = f"{DAGGER} Second-hand: " if second else ""
        lines.append(f"{mark}{source}.")
    for one in item.published:
        if one.note:
            lines.append(f"{one.method} on {one.model}, {one.measure}: {one.note}.")
    return list(dict.fromkeys(lines))


def summary(found: "Reproduction") -> str:
    """Every table, then what was not measured."""
    lines = [f"{found.paper.title} ({found.paper.source}), on {found.model_name}"]
    for done in found.items:
        lines += ["", done.item.title, *_aligned(table(done))]
        lines += [comparable(done.item, found.model_name), *sources(done.item), *notes(done.found)]
    lines += [""] if found.skipped or found.failed else []
    lines += [f"skipped: {reason}" for reason in found.skipped.values()]
    lines += [f"failed: {name}: {reason}" for name, reason in found.failed.items()]
    return "\n".join(lines)


def needed(item: Item) -> str:
    """The data that an item needs, in words.

    Args:
        item: which.
    """
    return " and ".join(" or ".join(_KINDS.get(kind, kind) for kind in need) for need in item.needs)


def _aligned(found: Table) -> list[str]:
    heads = [heading if not one else "" for heading, models in found.groups for one in models]
    names = [one or HERE for _, models in found.groups for one in models]
    rows = [["", *heads], ["", *names]]
    for label, paper, cells in found.rows:
        rows.append([f"{label} ({paper})" if paper else label, *map(str, cells)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(names) + 1)]
    return [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        ).rstrip()
        for row in rows
    ]


def _models(item: Item, measure: Measure) -> tuple[str, ...]:
    return tuple(dict.fromkeys(p.model for p in item.published if p.measure == measure.name))


def _paper(line: Line) -> str:
    return "" if line.method in ("", UNSTEERED, line.label) else line.method


def _ours(measure: Measure, score: Score | None) -> Cell:
    if score is None:
        return Cell()
    if not isfinite(score.mean):
        return Cell("not known", note=f"{score.missing} missing" if score.missing else "")
    note = f"{score.missing} samples are missing" if score.missing else ""
    return Cell(number(score.mean, measure), _error(score, measure), note=note)


def _error(score: Score, measure: Measure) -> str:
    known = [se for se in (score.se, score.se_seeds) if isfinite(se)]
    return number(known[0], measure, score.mean) if known else ""


def number(value: float, measure: Measure, beside: float | None = None) -> str:
    """One of our numbers in the unit of its measure.

    Args:
        value: the number.
        measure: what it is.
        beside: the number whose standard error it is, which has as many digits; None for a number.
    """
    scaled = measure.scale * value
    long = abs(measure.scale * (value if beside is None else beside)) >= _LONG
    shown = f"{scaled:.{0 if long else measure.digits}f}"
    nothing = shown.startswith("-") and float(shown) == 0  # rounding leaves a sign on zero
    return shown.removeprefix("-") if nothing else shown.replace("-", "\u2212")


def _published(item: Item, measure: Measure, model: str, method: str) -> Cell:
    for one in item.published:
        if (one.measure, one.model, one.method) == (measure.name, model, method):
            return Cell(_range(one, measure), mark=DAGGER * one.second_hand, note=one.note)
    return Cell()


def _range(one: Published, measure: Measure) -> str:
    ends = [one.value] if one.up_to is None else [one.value, one.up_to]
    return " to ".join(f"{end:.{measure.digits}f}" for end in ends).replace("-", "\u2212")


def settings_told(item: Item, settings: Mapping[str, Any]) -> str:
    """How much was measured, in words.

    Args:
        item: what.
        settings: what decided it.
    """
    sizes = settings["sizes"]
    seeds = len(sizes["seeds"])
    told = {
        "seeds": "one seed" if seeds == 1 else f"each of {seeds} seeds",
        "pairs": f"{sizes['pairs']} examples a side",
        "jacobians": f"a plant averaged over {sizes['jacobians']} prompts",
    }
    return ", ".join([f"{sizes['count']} {item.unit}", *(told[name] for name in item.sized)])
