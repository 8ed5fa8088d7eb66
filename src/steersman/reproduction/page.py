"""A reproduction as one page: every table and figure, ours and the paper's."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from steersman.errors import MissingExtraError
from steersman.pages import page_template, write_page
from steersman.reproduction.words import (
    HERE,
    Table,
    comparable,
    notes,
    settings_told,
    sources,
    table,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from steersman.reproduction.result import Done, Reproduction


@dataclass(frozen=True)
class _Section:
    name: str
    title: str
    shows: str
    comparable: str
    table: Table
    figure: Markup | None
    caption: str
    sizes: str
    unknown: str
    told: tuple[str, ...]


def write(found: "Reproduction", path: str | Path) -> Path:
    """Write the page whole or not at all; without matplotlib it has tables and no figures.

    Args:
        found: what was measured.
        path: where to.

    Raises:
        InputError: the page cannot be written.
    """
    try:
        drawn = figures(found)
    except MissingExtraError:
        drawn = {}
    page = page_template("reproduction.html.j2").render(
        title=found.paper.title,
        source=found.paper.source,
        model=found.model_name,
        here=HERE,
        sections=[_section(found, done, drawn.get(done.item.name)) for done in found.items],
        skipped=found.skipped,
        failed=found.failed,
        missing=found.paper.missing,
    )
    return write_page(page, path)


def figures(found: "Reproduction") -> dict[str, str]:
    """Every item's figure as SVG, by the item's name; an item with nothing to draw has none.

    Args:
        found: what was measured.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    from steersman.plots import figure_svg

    drawn = {one.item.name: _figure(one, found.model_name) for one in found.items}
    return {name: figure_svg(figure) for name, figure in drawn.items() if figure is not None}


def _figure(done: "Done", model: str) -> "Figure | None":
    from steersman.plots import beside_figure

    item, found = done.item, done.found
    if item.figure is not None:
        return item.figure(found)
    measure = item.measures[0]
    ours = [
        (line.label, measure.scale * score.mean, measure.scale * score.se)
        for line in found.lines
        for score in [line.values.get(measure.name)]
        if score is not None
    ]
    published = [
        (one.method, one.model, one.value) for one in item.published if one.measure == measure.name
    ]
    return beside_figure(ours, published, measure.heading, model) if ours else None


def _section(found: "Reproduction", done: "Done", figure: str | None) -> _Section:
    item = done.item
    beside = ", and published numbers in a panel of their own, because they are of other models"
    caption = item.caption or (
        f"{item.measures[0].heading}: ours with one standard error either way"
        f"{beside if item.published else ''}."
    )
    return _Section(
        name=item.name,
        title=item.title,
        shows=item.shows,
        comparable=comparable(item, found.model_name),
        table=table(done),
        figure=None if figure is None else Markup(figure),
        caption=caption,
        sizes=settings_told(item, done.settings),
        unknown=item.unknown,
        told=(*item.differs, *notes(done.found), *sources(item)),
    )
