"""Figures that compare: strength, separation, and scores before and after."""

from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from steersman.errors import InputError
from steersman.plots.panels import panels
from steersman.plots.style import (
    BLUE,
    INK,
    ORANGE,
    Array,
    Numbers,
    as_array,
    finish,
    house_style,
    new_figure,
    require_shape,
)

Row = tuple[str, float, float, float, float]
"""Behaviour, score before, its standard error, score after, its standard error."""


def before_after_figure(rows: Sequence[Row], xlabel: str = "score") -> Figure:
    """Each behaviour's score without and with steering, one line each, with standard errors.

    Args:
        rows: `(behaviour, before, standard error, after, standard error)`; NaN where unknown.
        xlabel: what the score is.

    Returns:
        The figure, whose label says in words what it shows.

    Raises:
        InputError: no rows.
    """
    if not rows:
        raise InputError("there is nothing to compare: rows is empty.")
    numbers = [as_array(row[1:]) for row in rows]
    with house_style():
        figure = new_figure(8.0, 1.15 + 0.46 * len(rows))
        axes = figure.subplots()
        for place, values in enumerate(numbers):
            _draw_dumbbell(axes, place, values)
        _frame_dumbbells(axes, [row[0] for row in rows], np.stack(numbers))
        axes.set_xlabel(xlabel)
        pairs = "; ".join(f"{row[0]} {_said(row[1])} to {_said(row[3])}" for row in rows)
        return finish(figure, f"{xlabel} without and with steering: {pairs}.")


def strength_figure(
    targets: Numbers,
    scores: Mapping[str, tuple[Numbers, Numbers]],
    ylabel: str,
    base: float | Mapping[str, float] | None = None,
) -> Figure:
    """Score against target, one panel a behaviour, with one standard error either way.

    Args:
        targets: the targets asked for, natural units.
        scores: behaviour -> (mean scores, standard errors), one of each a target; NaN is left out.
        ylabel: what the score is.
        base: the unsteered score, one for all or one a behaviour; drawn as a level where given.

    Returns:
        The figure, whose label says in words what it shows.

    Raises:
        InputError: no targets or no scores.
        ShapeError: not one score and one standard error a target.
    """
    asked = as_array(targets)
    if not scores or not asked.size:
        raise InputError("there is nothing to draw: give at least one target and one behaviour.")
    with house_style():
        figure, each = panels(len(scores), 2.1, "target, natural units", ylabel)
        for axes, (label, (means, errors)) in zip(each, scores.items(), strict=True):
            level = base.get(label) if isinstance(base, Mapping) else base
            _draw_strength(axes, label, asked, as_array(means), as_array(errors), level)
        return finish(figure, _strength_in_words(asked, scores, ylabel))


def separation_figure(separation: Numbers, se: Numbers) -> Figure:
    """How far apart the two sides of the examples are at each state, `d'`, out of sample.

    Args:
        separation: `d'` of each state `x_0, x_1, ...`, standard deviations.
        se: its standard error.

    Returns:
        The figure, whose label says in words what it shows.

    Raises:
        InputError: no states.
        ShapeError: not one standard error a state.
    """
    values, errors = as_array(separation), as_array(se)
    if not values.size:
        raise InputError("there is nothing to draw: separation is empty.")
    require_shape("se", errors, values.shape)
    known = np.isfinite(values).any()
    best = int(np.nanargmax(values)) if known else 0
    told = f"d′ = {_said(values[best])} ± {_said(errors[best])} at state {best}"
    with house_style():
        figure = new_figure(8.0, 2.7)
        axes = figure.subplots()
        states = np.arange(len(values))
        axes.fill_between(
            states, values - errors, values + errors, color=BLUE, alpha=0.18, linewidth=0
        )
        axes.plot(states, values, color=BLUE, marker="o", markersize=3.5)
        if known:
            _mark_best(axes, best, values[best], told)
        axes.set_title("Separation of the examples")
        axes.set_xlabel("state, the input of the block of that number")
        axes.set_ylabel("d′, standard deviations")
        axes.xaxis.set_major_locator(MaxNLocator(14, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axes.grid(visible=False, axis="x")
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.margins(x=0.015)
        words = f"Separation of the examples over {len(values)} states; highest {told}."
        return finish(figure, words)


def _mark_best(axes: Axes, state: int, value: float, told: str) -> None:
    axes.plot([state], [value], color=ORANGE, marker="o", markersize=7)
    axes.annotate(
        told,
        (state, value),
        xytext=(0, 9),
        textcoords="offset points",
        ha="center",
        color=ORANGE,
        fontweight="bold",
        annotation_clip=False,
    )
    axes.margins(y=0.18)


def _draw_strength(
    axes: Axes, label: str, targets: Array, means: Array, errors: Array, base: float | None
) -> None:
    require_shape(f"the scores of {label!r}", means, targets.shape)
    require_shape(f"the standard errors of {label!r}", errors, targets.shape)
    order = np.argsort(targets)
    if base is not None and isfinite(base):
        axes.axhline(base, color=INK, linewidth=1.2, linestyle=(0, (4, 2)))
        above = means[order][-1] < base  # the name goes where the curve ends up not to be
        axes.annotate(
            "unsteered",
            (1, base),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3 if above else -4),
            textcoords="offset points",
            ha="right",
            va="bottom" if above else "top",
            fontsize=8,
        )
    axes.errorbar(
        targets[order],
        means[order],
        yerr=errors[order],
        color=BLUE,
        marker="o",
        markersize=4.5,
        elinewidth=1.2,
        capsize=0,
    )
    axes.set_title(label)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2.5, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _draw_dumbbell(axes: Axes, place: int, values: Array) -> None:
    before, before_se, after, after_se = values
    axes.plot([before, after], [place, place], color=BLUE, alpha=0.3, linewidth=3.5)
    rightwards = not after < before
    for score, se, color, outer in (
        (before, before_se, INK, not rightwards),
        (after, after_se, BLUE, rightwards),
    ):
        if not isfinite(score):
            continue
        error = se if isfinite(se) else 0.0
        axes.errorbar(
            [score], [place], xerr=[error], color=color, marker="o", markersize=8, elinewidth=1.6
        )
        edge = score + error if outer else score - error
        axes.annotate(
            _said(score),
            (edge, place),
            xytext=(9 if outer else -9, 0),
            textcoords="offset points",
            ha="left" if outer else "right",
            va="center_baseline",
            color=color,
            fontweight="bold" if color == BLUE else "normal",
            annotation_clip=False,
        )


def _frame_dumbbells(axes: Axes, names: list[str], numbers: Array) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", labelsize=9.5, pad=8)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    scores = numbers[:, [0, 2]]
    known = scores[np.isfinite(scores)]
    if not known.size or (known.min() >= 0 and known.max() <= 1):
        axes.set_xlim(-0.11, 1.11)
    else:
        axes.margins(x=0.12)
    axes.plot([], [], color=INK, marker="o", markersize=8, linestyle="", label="unsteered")
    axes.plot([], [], color=BLUE, marker="o", markersize=8, linestyle="", label="steered")
    axes.legend(
        loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.2, columnspacing=1.6
    )


def _said(value: float) -> str:
    return f"{value:.2f}" if isfinite(value) else "not known"


def _strength_in_words(
    targets: Array, scores: Mapping[str, tuple[Numbers, Numbers]], ylabel: str
) -> str:
    low, high = int(targets.argmin()), int(targets.argmax())
    parts = []
    for label, (means, _) in scores.items():
        found = as_array(means)
        parts.append(f"{label} from {_said(found[low])} to {_said(found[high])}")
    span = f"targets {targets[low]:g} to {targets[high]:g}"
    return f"{ylabel} against target, {span}: {'; '.join(parts)}."
