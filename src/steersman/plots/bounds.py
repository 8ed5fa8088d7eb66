"""Figures of what can be promised: bounds against errors, and where a feature can be moved."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from torch import Tensor

from steersman.errors import InputError
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

Errors = Float[Tensor, "prompts states"] | Float[np.ndarray, "prompts states"]
_DASHES = ((0.0, ()), (0.0, (5.0, 2.0)), (0.0, (2.0, 2.0)), (0.0, (1.0, 1.6)))


def bound_figure(states: Sequence[int], radii: Mapping[str, Numbers], errors: Errors) -> Figure:
    """How far features were from their prediction, and how far every bound lets them be.

    The blue line is the median error over prompts, the blue area goes from the 10th percentile to
    the largest. The scale is logarithmic; what is zero or unknown is left out.

    Args:
        states: which states are shown.
        radii: each bound's radius at those states, natural units; from tight to safe.
        errors: sizes of the errors, natural units, `(prompts, states)`.

    Returns:
        The figure, whose label says in words what it shows.

    Raises:
        InputError: no states, no bounds or no prompts.
        ShapeError: the numbers do not go with the states.
    """
    found = as_array(errors)
    if not states or not radii or not found.size:
        raise InputError("there is nothing to draw: give states, bounds and the errors of prompts.")
    require_shape("errors", found, (len(found), len(states)))
    lines = {name: as_array(radius) for name, radius in radii.items()}
    for name, radius in lines.items():
        require_shape(f"the radius of {name!r}", radius, (len(states),))
    with house_style():
        figure = new_figure(8.0, 3.4)
        axes = figure.subplots()
        places = np.asarray(states, dtype=np.float64)
        _draw_errors(axes, places, _positive(found))
        for (name, radius), dashes in zip(lines.items(), _cycled(len(lines)), strict=True):
            axes.plot(
                places,
                _positive(radius),
                color=ORANGE,
                linestyle=dashes,
                linewidth=1.5,
                marker="o" if len(states) == 1 else "",
                markersize=3,
                label=name,
            )
        _frame_bounds(axes)
        return finish(figure, _bounds_in_words(states[-1], lines, found))


def authority_figure(effort: Numbers, survives: Numbers) -> Figure:
    """What each block can do about the final feature, and how much of it is carried there.

    Args:
        effort: the least effort at each block alone that moves the final feature by one unit;
            infinite where it cannot.
        survives: how much of one unit of the feature at each state is left after the last block.

    Returns:
        The figure, whose label says in words what it shows.

    Raises:
        InputError: no blocks.
        ShapeError: not one state more than blocks.
    """
    cost, left = as_array(effort), as_array(survives)
    if not cost.size:
        raise InputError("there is nothing to draw: give the effort of at least one block.")
    require_shape("survives", left, (len(cost) + 1,))
    with house_style():
        figure = new_figure(8.0, 2.9)
        first, second = figure.subplots(1, 2)
        first.bar(np.arange(len(cost)), cost, color=BLUE, width=0.7)
        _frame(first, "Effort at one block for one unit", "block", "effort, natural units")
        second.axhline(1.0, color=INK, linewidth=1.0, linestyle=(0, (4, 2)))
        second.plot(left, color=BLUE, marker="o", markersize=3.5)
        _frame(second, "What is left of one unit at the end", "state", "natural units")
        second.margins(x=0.03)
        return finish(figure, _authority_in_words(cost, left))


def _draw_errors(axes: Axes, places: Array, errors: Array) -> None:
    known = [column[np.isfinite(column)] for column in errors.T]
    low, middle, high = (
        np.array([np.quantile(column, at) if column.size else np.nan for column in known])
        for at in (0.1, 0.5, 1.0)
    )
    axes.fill_between(places, low, high, color=BLUE, alpha=0.18, linewidth=0)
    mark = "o" if len(places) == 1 else ""
    axes.plot(places, middle, color=BLUE, marker=mark, label=f"error of {len(errors)} prompts")


def _frame_bounds(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0), numticks=9))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title("Error of the predicted feature, and its bounds")
    axes.set_xlabel("state, the input of the block of that number")
    axes.set_ylabel("natural units")
    axes.xaxis.set_major_locator(MaxNLocator(14, integer=True))
    axes.grid(visible=False, axis="x")
    axes.margins(x=0.015)
    places = np.asarray(axes.lines[0].get_xdata())
    if places.size == 1:
        axes.set_xlim(float(places[0]) - 1, float(places[0]) + 1)
    # In the order in which the lines end, so that each name stands near its own.
    handles, labels = axes.get_legend_handles_labels()
    ends = [np.nan_to_num(np.asarray(line.get_ydata())[-1]) for line in axes.lines]
    order = np.argsort(ends)[::-1]
    axes.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        borderaxespad=0.3,
    )


def _frame(axes: Axes, title: str, xlabel: str, ylabel: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    low, high = axes.get_ylim()
    axes.set_ylim(min(0.0, low), 1.05 * max(high, 0.0) or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.grid(visible=False, axis="x")


def _cycled(count: int) -> list[tuple[float, tuple[float, ...]]]:
    return [_DASHES[i % len(_DASHES)] for i in range(count)]


def _positive(values: Array) -> Array:
    return np.where(values > 0, values, np.nan)


def _bounds_in_words(state: int, radii: Mapping[str, Array], errors: Array) -> str:
    last = errors[:, -1][np.isfinite(errors[:, -1])]
    middle = f"{np.median(last):.2g}" if last.size else "not known"
    parts = "; ".join(f"{name} {radius[-1]:.2g}" for name, radius in radii.items())
    return (
        f"Error of the predicted feature over {len(errors)} prompts; at state {state} its median "
        f"is {middle} natural units, and the bounds are {parts}."
    )


def _authority_in_words(effort: Array, survives: Array) -> str:
    if not np.isfinite(effort).any():
        return f"None of {len(effort)} blocks can move the feature."
    best = int(np.nanargmin(effort))
    return (
        f"Of {len(effort)} blocks, block {best} moves the final feature by one unit at the least "
        f"effort, {effort[best]:.2g}; of one unit at state {best}, {survives[best]:.2g} are left."
    )
