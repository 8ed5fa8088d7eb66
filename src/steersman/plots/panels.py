"""One panel for each of several names, in rows, with the same axes."""

from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steersman.plots.style import new_figure

_COLUMNS = 3


def panels(count: int, height: float, xlabel: str, ylabel: str) -> tuple[Figure, list[Axes]]:
    """An empty figure of panels that share both axes; call inside `house_style`.

    Only the lowest panel of each column says what is along x, only the first of each row what is
    along y.

    Args:
        count: how many panels, at least one.
        height: of each row, in inches.
        xlabel: what is along x.
        ylabel: what is along y.

    Returns:
        The figure, and its panels row by row.
    """
    rows = ceil(count / _COLUMNS)
    columns = ceil(count / rows)
    figure = new_figure(8.0 if columns > 1 else 5.2, 0.7 + height * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    found: list[Axes] = list(grid.flat)
    for axes in found[count:]:
        axes.remove()
    for axes in found[max(count - columns, 0) : count]:
        axes.set_xlabel(xlabel)
        axes.tick_params(labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel(ylabel)
    return figure, found[:count]
