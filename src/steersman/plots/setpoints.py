"""A feature over the depth of the model, against where it was asked to be."""

from collections.abc import Mapping
from math import ceil
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from steersman.errors import InputError
from steersman.plots.style import (
    BLUE,
    ORANGE,
    Array,
    Numbers,
    as_array,
    finish,
    house_style,
    new_figure,
    require_shape,
)

_COLUMNS = 3
TITLE = 34
"""Letters of a title that stand beside each other."""
Panel = tuple[Numbers, Numbers, float]
"""Mean of the feature at every state, its standard deviation, and what was asked for."""


def setpoint_figure(panels: Mapping[str, Panel]) -> Figure:
    """One panel a way of steering: the feature at every state, and the setpoint across.

    Args:
        panels: by the ways' names; in units of the contrast at each state, NaN is left out.

    Returns:
        The figure, whose label says in words what it shows.

    Raises:
        InputError: no panels.
        ShapeError: not one standard deviation a state.
    """
    if not panels:
        raise InputError("there is nothing to draw: give at least one way.")
    lines = ceil(len(panels) / _COLUMNS)
    columns = ceil(len(panels) / lines)
    with house_style():
        figure = new_figure(9.0 if columns > 1 else 5.2, 0.7 + 2.0 * lines)
        found = figure.subplots(lines, columns, sharex=True, squeeze=False)
        for axes, (label, (mean, spread, asked)) in zip(found.flat, panels.items(), strict=False):
            _draw(axes, label, as_array(mean), as_array(spread), asked)
        for axes in found.flat[len(panels) :]:
            axes.remove()
        for axes in found.flat[max(len(panels) - columns, 0) : len(panels)]:
            axes.set_xlabel("state: input of the block")
            axes.tick_params(labelbottom=True)
        for axes in found[:, 0]:
            axes.set_ylabel("feature, contrasts")
        return finish(figure, _in_words(panels))


def _draw(axes: Axes, label: str, mean: Array, spread: Array, asked: float) -> None:
    require_shape(f"the spread of {label!r}", spread, mean.shape)
    states = np.arange(len(mean))
    axes.axhline(asked, color=ORANGE, linewidth=1.2, linestyle=(0, (4, 2)))
    known = np.nan_to_num(spread)
    axes.fill_between(states, mean - known, mean + known, color=BLUE, alpha=0.18, linewidth=0)
    axes.plot(states, mean, color=BLUE, marker="o", markersize=3)
    axes.set_title(fill(label, TITLE))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _in_words(panels: Mapping[str, Panel]) -> str:
    parts = [
        f"{label}: {float(as_array(mean)[-1]):.2f} where {asked:g} is asked"
        for label, (mean, _, asked) in panels.items()
    ]
    return f"The feature after the last block: {'; '.join(parts)}."
