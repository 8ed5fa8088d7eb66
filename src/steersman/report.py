"""One page that a person can read, print or send: what steering did, in numbers and in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from steersman.errors import InputError
from steersman.pages import Filters, page_template, write_page
from steersman.plots import figure_svg

Sample = tuple[str, str, str]
"""A prompt, and what followed it without and with steering."""
Captioned = tuple[str, Figure]
"""A caption and its figure."""
Table = tuple[str, Sequence[Sequence[str]]]
"""A caption and rows of text, of which the first is the header."""


@dataclass(frozen=True, eq=False)
class BehaviourReport:
    """What steering did to one behaviour.

    Args:
        name: the behaviour.
        description: what it is and how it is scored, in a sentence or two.
        method: the method and its setting, in a line.
        score_name: what the score is, as "share of archaic texts".
        before: score without steering.
        before_se: its standard error; NaN where unknown.
        after: score with steering.
        after_se: its standard error; NaN where unknown.
        grammaticality: share of grammatical texts without and with steering, where measured.
        knowledge: share of facts recalled without and with steering, where measured.
        samples: `(prompt, unsteered text, steered text)`, the texts without the prompt.
        figures: `(caption, figure)`.
    """

    name: str
    description: str
    method: str
    score_name: str
    before: float
    before_se: float
    after: float
    after_se: float
    grammaticality: tuple[float, float] | None = None
    knowledge: tuple[float, float] | None = None
    samples: Sequence[Sample] = ()
    figures: Sequence[Captioned] = ()


@dataclass(frozen=True, eq=False)
class Report:
    """Everything on the page.

    Args:
        title: the heading.
        subtitle: what was done to which model, in a sentence or two.
        behaviours: one section each, in this order.
        figures: `(caption, figure)` that show all behaviours at once.
        facts: `(label, value)` of the model, the data and the run.
        tables: `(caption, rows)`, shown with the figures of all behaviours.
    """

    title: str
    subtitle: str
    behaviours: Sequence[BehaviourReport]
    figures: Sequence[Captioned] = ()
    facts: Sequence[tuple[str, str]] = ()
    tables: Sequence[Table] = ()


def write_report(report: Report, path: str | Path) -> Path:
    """Write the report as one HTML file that needs no other and runs no script.

    Args:
        report: what to show; every text in it is escaped.
        path: where to; folders that do not exist are made.

    Returns:
        The path of the page.

    Raises:
        InputError: no behaviours, or the file cannot be written; what was there is untouched.
    """
    if not report.behaviours:
        raise InputError("there is nothing to report: behaviours is empty.")
    filters: Filters = {"number": _number, "share": _share, "svg": _svg}
    template = page_template("report.html.j2", filters)
    checks = _checks_measured(report.behaviours)
    return write_page(template.render(report=report, checks=checks), path)


def _checks_measured(behaviours: Sequence[BehaviourReport]) -> list[tuple[str, str]]:
    """The side effects that were measured for at least one behaviour: attribute and heading."""
    known = [("grammaticality", "Grammatical"), ("knowledge", "Facts recalled")]
    return [check for check in known if any(getattr(b, check[0]) for b in behaviours)]


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "\u2212") if isfinite(value) else "not known"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %" if isfinite(value) else "not known"


def _svg(figure: Figure) -> Markup:
    return Markup(figure_svg(figure))
