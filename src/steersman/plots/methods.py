"""Figures of several methods: a panel each, with all others behind it."""

from collections.abc import Mapping
from dataclasses import dataclass

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
    require_shape,
)

Curve = tuple[Numbers, Numbers, Numbers]
"""Places along x, values, and their standard errors."""


@dataclass(frozen=True)
class Marked:
    """One point that counts, with its standard error both ways; NaN where unknown."""

    x: float
    y: float
    x_se: float = float("nan")
    y_se: float = float("nan")


def methods_figure(
    curves: Mapping[str, Curve],
    xlabel: str,
    ylabel: str,
    *,
    marked: Mapping[str, Marked] | None = None,
    level: float | None = None,
    limit: float | None = None,
    diagonal: bool = False,
) -> Figure:
    """One panel a method: its curve in blue, those of the others in grey behind it.

    Args:
        curves: method -> places, values and standard errors; NaN is left out.
        xlabel: what is along x.
        ylabel: what the values are.
        marked: a point of each method that counts.
        level: the unsteered value, drawn across.
        limit: a budget, drawn upright.
        diagonal: draw where a value equals its place.

    Returns:
        The figure, whose label says in words what it shows.

    Raises:
        InputError: no curves.
        ShapeError: not one value and one standard error a place.
    """
    if not curves:
        raise InputError("there is nothing to draw: give at least one method.")
    known = {name: _checked(name, curve) for name, curve in curves.items()}
    with house_style():
        figure, each = panels(len(known), 1.85, xlabel, ylabel)
        for axes, name in zip(each, known, strict=True):
            _references(axes, level, limit, diagonal, known)
            for other, (x, y, _) in known.items():
                if other != name:
                    axes.plot(x, y, color=INK, alpha=0.3, linewidth=0.9)
            x, y, errors = known[name]
            axes.errorbar(x, y, yerr=errors, color=BLUE, marker="o", markersize=3.5, elinewidth=1.1)
            if marked and name in marked:
                _mark(axes, marked[name])
            axes.set_title(name)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.yaxis.set_major_locator(MaxNLocator(4))
        return finish(figure, _in_words(known, xlabel, ylabel, marked or {}))


def _checked(name: str, curve: Curve) -> tuple[Array, Array, Array]:
    x, y, errors = (as_array(part) for part in curve)
    require_shape(f"the values of {name!r}", y, x.shape)
    require_shape(f"the standard errors of {name!r}", errors, x.shape)
    order = np.argsort(x)
    return x[order], y[order], errors[order]


def _references(
    axes: Axes,
    level: float | None,
    limit: float | None,
    diagonal: bool,
    known: Mapping[str, tuple[Array, Array, Array]],
) -> None:
    if level is not None and np.isfinite(level):
        axes.axhline(level, color=INK, linewidth=1.0, linestyle=(0, (4, 2)))
    if limit is not None:
        axes.axvline(limit, color=ORANGE, linewidth=1.0, linestyle=(0, (4, 2)))
    if diagonal:
        places = np.concatenate([x for x, _, _ in known.values()])
        end = float(np.nanmax(places)) if np.isfinite(places).any() else 1.0
        axes.plot([0, end], [0, end], color=ORANGE, linewidth=1.0, linestyle=(0, (4, 2)))


def _mark(axes: Axes, point: Marked) -> None:
    errors = [[e] if np.isfinite(e) else [0.0] for e in (point.x_se, point.y_se)]
    axes.errorbar(
        [point.x],
        [point.y],
        xerr=errors[0],
        yerr=errors[1],
        color=ORANGE,
        marker="D",
        markersize=5,
        elinewidth=1.1,
        zorder=5,
    )


def _in_words(
    known: Mapping[str, tuple[Array, Array, Array]],
    xlabel: str,
    ylabel: str,
    marked: Mapping[str, Marked],
) -> str:
    parts = []
    for name, (x, y, _) in known.items():
        if name in marked:
            parts.append(f"{name} {marked[name].y:.2f} at {marked[name].x:.2g}")
        elif len(y):
            parts.append(f"{name} from {y[0]:.2f} at {x[0]:.2g} to {y[-1]:.2f} at {x[-1]:.2g}")
    return f"{ylabel} against {xlabel}: {'; '.join(parts)}."
