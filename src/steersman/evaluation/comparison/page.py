"""A comparison as one page: effects at the budget, side effects, asked against obtained, pace."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from steersman.errors import MissingExtraError
from steersman.evaluation.comparison.words import (
    Row,
    about,
    apart,
    bare,
    moved,
    said,
    side_effects,
    told,
)
from steersman.evaluation.scores import Score
from steersman.pages import page_template, write_page

if TYPE_CHECKING:
    from steersman.evaluation.comparison.result import Asked, ComparisonReport


@dataclass(frozen=True)
class _Section:
    title: str
    words: str
    head: Row = ()
    rows: tuple[Row, ...] = ()
    figure: Markup | None = None
    caption: str = ""


def write(found: "ComparisonReport", path: str | Path) -> Path:
    """Write the page whole or not at all; without matplotlib it has tables and no figures.

    Args:
        found: what was measured.
        path: where to.

    Raises:
        InputError: the page cannot be written.
    """
    task, model = found.settings["task"]["name"], found.settings["model"]["name"]
    page = page_template("comparison.html.j2").render(
        title=f"{task} · {model}",
        lead=f"{about(found)}.",
        sections=[_effects(found), _side(found), _calibration(found), _pace(found)],
        told=[f"{line.rstrip('.')}." for line in told(found)],
        facts=_facts(found),
    )
    return write_page(page, path)


def _effects(found: "ComparisonReport") -> _Section:
    kind = found.settings["comparison"]["budget"]["of"]
    head = ("Method", "Strength", found.headline, "Moved", f"Less {found.baseline}", "p")
    rows: list[Row] = [("unsteered", "", said(bare(found)), "", "", "")]
    if found.desired is not None:
        rows.append(("unsteered, in desired contexts", "", said(found.desired), "", "", ""))
    rows += [
        (
            *(one.label, said(one.strength), said(found.effect(one)), moved(found, one)),
            *apart(found, one),
        )
        for one in found.methods
    ]
    words = (
        f"Each method at the strength that uses up the budget of {kind} on validation prompts, "
        "scored on test prompts. Differences are paired by prompt, in brackets their 95 % interval "
        "of the bootstrap; p is of the paired bootstrap, corrected by Holm's method. Moved is by "
        "the same test against the unsteered model."
    )
    caption = (
        "What each method does at what price, over all targets: blue the method, grey the others. "
        "The diamond is where the budget is used up, the upright line the budget, the level line "
        "the unsteered model."
    )
    return _Section("Effect", words, head, tuple(rows), _pareto(found), caption)


def _side(found: "ComparisonReport") -> _Section:
    names = [name for name in side_effects(found) if name != found.headline]
    rows: list[Row] = [
        ("unsteered", *(said(found.unsteered_panel.get(name)) for name in names)),
        *((one.label, *(said(one.panel.get(name)) for name in names)) for one in found.methods),
    ]
    words = (
        "At the same strengths, on the test prompts. Divergence is KL from the bare model in nats "
        "per token along what was written."
    )
    return _Section("Side effects", words, ("Method", *names), tuple(rows))


def _calibration(found: "ComparisonReport") -> _Section:
    targets = found.settings["comparison"]["targets"]
    head = ("Method", *(f"{target:g}" for target in targets), "Slope")
    head += ("Gap",) if found.in_units else ()
    rows = []
    for one in found.methods:
        by_target = {asked.target: asked for asked in one.asked}
        cells = [
            said(_shown(found, by_target[target])) if target in by_target else "-"
            for target in targets
        ]
        ends = (said(one.slope), said(one.gap))[: 1 + found.in_units]
        rows.append((one.label, *cells, *ends))
    if found.in_units:
        words = (
            "What was obtained for each target, from what the unsteered model does (0) to what it "
            "does in desired contexts (1). Slope 1 and gap 0 are best; nothing is tuned here."
        )
    else:
        words = (
            f"{found.headline} at each target. How much of it is desired is not known for this "
            "task, so there is no gap, and slopes are in scores a unit."
        )
    caption = "Obtained against asked: blue the method, grey the others" + (
        ", and the dashed line where they are equal." if found.in_units else "."
    )
    return _Section(
        "Asked and obtained", words, head, tuple(rows) if targets else (), _asked(found), caption
    )


def _pace(found: "ComparisonReport") -> _Section:
    names = ("identify", "fit", "calibrate", "seconds_per_token", "times_unsteered")
    head = ("Method", "Plant, s", "Fit, s", "Calibration, s", "Token, ms", "Times unsteered")
    rows = []
    for one in found.methods:
        seconds = [one.timing.get(name) for name in names]
        scale = (1, 1, 1, 1000, 1)
        cells = [
            "-" if value is None else f"{value * by:.2f}"
            for value, by in zip(seconds, scale, strict=True)
        ]
        rows.append((one.label, *cells))
    words = (
        "Means over seeds, on the machine that ran this. The plant is identified once a seed and "
        "shared by the methods that need its matrices. A token's time is of a batch, its share of "
        "the prompts' pass included, at the strength of the budget."
    )
    return _Section("Pace", words, head, tuple(rows))


def _pareto(found: "ComparisonReport") -> Markup | None:
    try:
        from steersman.plots import Marked, figure_svg, methods_figure
    except MissingExtraError:
        return None
    start = bare(found)
    curves, marked = {}, {}
    for one in found.methods:
        points = [(one_.divergence.mean, one_.score.mean, _error(one_.score)) for one_ in one.asked]
        points = [(0.0, start.mean, _error(start)), *points]
        x, y, errors = (list(part) for part in zip(*points, strict=True))
        curves[one.label] = (x, y, errors)
        effect = found.effect(one)
        if effect is not None:
            price = one.panel["divergence"]
            marked[one.label] = Marked(price.mean, effect.mean, _error(price), _error(effect))
    if not curves:
        return None
    budget = found.settings["comparison"]["budget"]
    figure = methods_figure(
        curves,
        "KL, nats per token",
        found.headline,
        marked=marked,
        level=start.mean,
        limit=budget["limit"] if budget["of"] == "KL" else None,
    )
    return Markup(figure_svg(figure))


def _asked(found: "ComparisonReport") -> Markup | None:
    try:
        from steersman.plots import figure_svg, methods_figure
    except MissingExtraError:
        return None
    curves = {}
    for one in found.methods:
        shown = [_shown(found, asked) for asked in one.asked]
        if shown:
            targets = [asked.target for asked in one.asked]
            curves[one.label] = (targets, [s.mean for s in shown], [_error(s) for s in shown])
    if not curves:
        return None
    figure = methods_figure(
        curves,
        "asked, natural units",
        "obtained" if found.in_units else found.headline,
        level=0.0 if found.in_units else bare(found).mean,
        diagonal=found.in_units,
    )
    return Markup(figure_svg(figure))


def _shown(found: "ComparisonReport", asked: "Asked") -> Score:
    return asked.obtained if found.in_units else asked.score


def _error(score: Score) -> float:
    return score.se_seeds if isfinite(score.se_seeds) else score.se


def _facts(found: "ComparisonReport") -> list[tuple[str, str]]:
    asked, task = found.settings["comparison"], found.settings["task"]
    return [
        ("model", found.settings["model"]["name"]),
        ("task", task["name"]),
        ("recipe", f"{task['recipe']['name']} ({task['recipe']['source']})"),
        ("budget", f"{asked['budget']['of']} {asked['budget']['limit']:g}"),
        ("seeds", ", ".join(map(str, asked["seeds"]))),
        ("test prompts a seed", str(asked["count"])),
        ("validation prompts a seed", str(asked["validation"])),
        ("examples a side", str(asked["pairs"])),
        ("strengths tried", f"at most {asked['evaluations']}, up to {asked['maximum']:g}"),
        ("beside", ", ".join(one["name"] for one in found.settings["beside"]) or "nothing"),
    ]
