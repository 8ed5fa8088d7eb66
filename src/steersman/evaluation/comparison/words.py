"""A comparison in words and numbers, for a terminal."""

from math import isfinite
from typing import TYPE_CHECKING

from steersman.evaluation.scores import Score

if TYPE_CHECKING:
    from steersman.evaluation.comparison.result import ComparisonReport, MethodResult

Row = tuple[str, ...]
CHANCE = 0.01
"""A difference from the unsteered model that chance makes this often says nothing."""


def summary(found: "ComparisonReport") -> str:
    """A table of every method, then what to know."""
    head, rows = table(found)
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [about(found)]
    for row in (head, *rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, *told(found)])


def about(found: "ComparisonReport") -> str:
    """One sentence of what was compared."""
    asked = found.settings["comparison"]
    way = "rise" if found.rises else "fall"
    return (
        f"{found.settings['task']['name']} on {found.settings['model']['name']}: "
        f"{found.headline}, which should {way}, at {asked['budget']['of']} "
        f"{asked['budget']['limit']:g} on validation prompts; {asked['count']} test prompts "
        f"of {_seeds(len(asked['seeds']))}"
    )


def table(found: "ComparisonReport") -> tuple[Row, list[Row]]:
    """Heads and rows: the bare model first, then every method."""
    units = found.in_units
    slope = "slope" if units else f"{found.headline} a unit"
    sides = [name for name in side_effects(found) if name != found.headline]
    head = ("method", "strength", found.headline, "moved", "less baseline", "p", *sides, slope)
    head += ("gap",) if units else ()
    first = (
        "unsteered",
        "",
        said(bare(found)),
        "",
        "",
        "",
        *(said(_side(found, n)) for n in sides),
        "",
    )
    rows = [first + ("",) * units]
    return head, rows + [_row(found, one, sides) for one in found.methods]


def side_effects(found: "ComparisonReport") -> list[str]:
    """The side effects that are shown, of those that are known."""
    shown = ("divergence", "perplexity", "branching", "distinct-2", "repetition", "grammatical")
    every = dict.fromkeys([*found.unsteered_panel, *(n for m in found.methods for n in m.panel)])
    return [name for name in every if name in shown or " of " in name]


def told(found: "ComparisonReport") -> list[str]:
    """What was left out, what failed and what to know, a line each."""
    lines = [f"{name} is left out: {reason}" for name, reason in found.left_out.items()]
    for one in found.methods:
        lines += [f"{one.label} failed: {why}" for why in one.failures]
        lines += [f"{one.label}: {note}" for note in one.notes]
    if found.desired is not None and not found.in_units:
        lines.append(
            "what is desired cannot be told from unsteered here, so nothing is known of what was "
            "obtained: slopes are in raw scores"
        )
    return lines


def said(score: Score | None) -> str:
    """A mean with its standard error over seeds; over prompts where there is one seed."""
    if score is None or not isfinite(score.mean):
        return "-"
    error = score.se_seeds if isfinite(score.se_seeds) else score.se
    digits = 3 if abs(score.mean) < 100 else 1
    mean = f"{score.mean:.{digits}f}".replace("-0.000", "0.000")
    return f"{mean} ± {error:.{digits}f}" if isfinite(error) else mean


def bare(found: "ComparisonReport") -> Score:
    """The headline of the unsteered model."""
    return found.unsteered.get(found.headline) or found.unsteered_panel[found.headline]


def apart(found: "ComparisonReport", one: "MethodResult") -> tuple[str, str]:
    """How far a method is from the baseline, with its interval, and p."""
    if one.label == found.baseline:
        return "baseline", ""
    if one.against is None:
        return "-", "-"
    effect = one.against.effect
    interval = f"[{effect.low:+.3f}, {effect.high:+.3f}]"
    return f"{effect.value:+.3f} {interval}", f"{one.against.p:.2g}"


def moved(found: "ComparisonReport", one: "MethodResult") -> str:
    """Whether a method moves the headline as asked, beyond chance, and p."""
    if one.moved is None:
        return "-"
    asked = (one.moved.effect.value > 0) == found.rises
    way = "as asked" if asked else "the other way"
    return f"{'not beyond chance' if one.moved.p >= CHANCE else way}, p {one.moved.p:.2g}"


def _row(found: "ComparisonReport", one: "MethodResult", sides: list[str]) -> Row:
    cells: Row = (one.label, said(one.strength), said(found.effect(one)), moved(found, one))
    cells += apart(found, one)
    cells += tuple(said(one.panel.get(name)) for name in sides) + (said(one.slope),)
    return cells + ((said(one.gap),) if found.in_units else ())


def _side(found: "ComparisonReport", name: str) -> Score | None:
    return found.unsteered_panel.get(name)


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"each of {count} seeds"
