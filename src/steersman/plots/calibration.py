"""The figure of a calibration: what was tried, what was asked for, what was chosen."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from steersman.errors import InputError
from steersman.plots.style import (
    BLUE,
    INK,
    ORANGE,
    Numbers,
    as_array,
    finish,
    house_style,
    new_figure,
    require_shape,
)


def calibration_figure(
    strengths: Numbers,
    values: Numbers,
    errors: Numbers,
    *,
    level: float,
    chosen: float,
    ylabel: str,
    interval: tuple[float, float] | None = None,
) -> Figure:
    """Every strength that was tried, with one standard error either way.

    Args:
        strengths: natural units.
        values: what was measured at each.
        errors: its standard error; NaN where unknown.
        level: the value asked for, drawn as a level.
        chosen: the strength that came out, one of those tried.
        ylabel: what was measured.
        interval: strengths that the chosen one cannot be told apart from; None where unknown.

    Returns:
        The figure, whose label says in words what it shows.

    Raises:
        InputError: no strengths, or `chosen` is none of them.
        ShapeError: not one value and one standard error a strength.
    """
    tried, found, se = as_array(strengths), as_array(values), as_array(errors)
    require_shape("values", found, tried.shape)
    require_shape("errors", se, tried.shape)
    if chosen not in tried:
        raise InputError(f"the chosen strength {chosen} is none of the {tried.size} tried.")
    order = np.argsort(tried)
    value = float(found[tried == chosen][0])
    with house_style():
        figure = new_figure(6.4, 3.2)
        axes = figure.subplots()
        axes.errorbar(
            tried[order],
            found[order],
            yerr=np.nan_to_num(se[order]),
            color=BLUE,
            marker="o",
            markersize=4.5,
            elinewidth=1.2,
            capsize=0,
        )
        _draw_level(axes, level)
        if interval is not None:
            axes.axvspan(*interval, color=ORANGE, alpha=0.12, linewidth=0)
        _draw_choice(axes, chosen, value, f"strength {chosen:.3g}")
        axes.set_xlabel("strength, natural units")
        axes.set_ylabel(ylabel)
        axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axes.margins(y=0.14)
        words = (
            f"{ylabel} against strength, {tried.size} strengths from {tried.min():g} to "
            f"{tried.max():g}: {value:.3g} at the chosen strength {chosen:.3g}, "
            f"{level:g} was asked for."
        )
        return finish(figure, words)


def _draw_level(axes: Axes, level: float) -> None:
    axes.axhline(level, color=ORANGE, linewidth=1.2, linestyle=(0, (4, 2)))
    axes.annotate(
        f"asked for: {level:g}",
        (1, level),
        xycoords=("axes fraction", "data"),
        xytext=(0, -4),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=8,
        color=ORANGE,
    )


def _draw_choice(axes: Axes, chosen: float, value: float, told: str) -> None:
    axes.axvline(chosen, color=INK, linewidth=0.8, alpha=0.5)
    axes.plot([chosen], [value], color=ORANGE, marker="o", markersize=8, zorder=5)
    axes.annotate(
        told,
        (chosen, value),
        xytext=(9, -12),
        textcoords="offset points",
        color=ORANGE,
        fontweight="bold",
        annotation_clip=False,
    )
