"""The findings as figures and as one page."""

from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup
from matplotlib.figure import Figure

from steersman.local_linearity.means import Mean, over_prompts
from steersman.local_linearity.remainders import PLANTS
from steersman.local_linearity.steps import BETWEEN, FEATURE, RANDOM
from steersman.local_linearity.words import MATRICES, blocks_meant, facts, findings, table
from steersman.pages import page_template, write_page
from steersman.plots import (
    figure_svg,
    pairs_figure,
    plants_figure,
    remainder_figure,
    similarity_figure,
    spectra_figure,
)

if TYPE_CHECKING:
    from steersman.local_linearity.result import LinearityReport

Captioned = tuple[str, Figure]
"""A caption and its figure."""

_NAMES = {
    "own": "own Jacobian",
    "by_domain": "mean of the domain",
    "by_token": "mean of the last token",
    "identity": "identity",
}


def figures(report: "LinearityReport") -> dict[str, Captioned]:
    """Every figure with its caption, in the order of the page."""
    return {
        "remainders": _remainder_maps(report),
        "plants": _plants(report),
        "spectra": _spectra(report),
        "similarity": _similarity(report),
        "pairs": _pairs(report),
    }


def write(report: "LinearityReport", path: str | Path) -> Path:
    """Write the page whole or not at all."""
    filters = {"svg": lambda figure: Markup(figure_svg(figure))}
    page = page_template("linearity.html.j2", filters).render(
        report=report,
        figures=figures(report),
        findings=findings(report),
        table=table(report),
        facts=facts(report),
        blocks=blocks_meant(report),
    )
    return write_page(page, path)


def _remainder_maps(report: "LinearityReport") -> Captioned:
    found = report.remainders
    rows = {
        "Of the whole answer": over_prompts(found.own, axis=1).mean,
        "Of what the block adds": over_prompts(found.own_of_increment, axis=1).mean,
    }
    reach = over_prompts(found.reach, axis=1).mean
    figure = remainder_figure(
        found.scales,
        {name: dict(zip(found.kinds, values, strict=True)) for name, values in rows.items()},
        {kind: step for kind, step in zip(found.kinds, reach, strict=True) if kind != RANDOM},
    )
    marks = {FEATURE: "the contrast of the examples", BETWEEN: "the other prompt's state"}
    told = " and ".join(f"{marks[kind]} ({kind})" for kind in found.kinds if kind in marks)
    return (
        "Share of a block's answer that its own Jacobian misses, mean over prompts. Orange marks "
        f"how far away {told} is, with an arrow where that is beyond the longest step.",
        figure,
    )


def _plants(report: "LinearityReport") -> Captioned:
    found = report.remainders
    start = report.start
    panels = {}
    for k, kind in enumerate(found.kinds):
        curves = {}
        for name in PLANTS:
            mean = over_prompts(getattr(found, name)[k, :, start:].nanmean(dim=1), axis=0)
            if not bool(mean.mean.isnan().all()):
                curves[_NAMES[name]] = (mean.mean, mean.se)
        panels[kind] = curves
    return (
        f"The same share for four linear plants, {blocks_meant(report)}, with standard errors over "
        "prompts. A plant is worth having where it stays below the identity.",
        plants_figure(found.scales, panels, "share of the answer missed"),
    )


def _spectra(report: "LinearityReport") -> Captioned:
    panels = {
        name: (spectra.values[report.start :], spectra.values_sd[report.start :])
        for name, spectra in zip(MATRICES, (report.jacobian, report.increment), strict=True)
    }
    return (
        f"Singular values, {blocks_meant(report)}: mean over prompts and one standard deviation "
        "either way. Those of A − I are of what the block itself adds.",
        spectra_figure(panels, report.start),
    )


def _similarity(report: "LinearityReport") -> Captioned:
    panels = {}
    for name, spectra in zip(MATRICES, (report.jacobian, report.increment), strict=True):
        groups: dict[str, Mean] = report.similarity(spectra)
        panels[name] = ({key: (m.mean, m.se) for key, m in groups.items()}, spectra.chance)
    return (
        f"Spectral similarity of the {report.jacobian.rank} leading left singular directions of "
        "two prompts' Jacobians, with jackknife standard errors over prompts. Chance: the same "
        "singular values with their directions turned at random.",
        similarity_figure(panels),
    )


def _pairs(report: "LinearityReport") -> Captioned:
    last = report.blocks - 1
    chosen = sorted({report.start, (report.start + last) // 2, last})
    order = sorted(
        range(len(report.domains)),
        key=lambda i: (report.domains.index(report.domains[i]), report.last[i]),
    )
    maps = {f"block {t}": report.jacobian.similarity[t][order][:, order] for t in chosen}
    return (
        "The same similarity of A for every two prompts, by domain, and by last token within one.",
        pairs_figure(maps, [report.domains[i] for i in order]),
    )
