"""What was measured here, and what is published, each in a panel of its own."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from steersman.errors import InputError
from steersman.plots.style import BLUE, INK, ORANGE, as_array, finish, house_style, new_figure

Measured = tuple[str, float, float]
"""What was run, its number, and the standard error."""
Known = tuple[str, str, float]
"""Method, model and number."""
_MARKERS = "oDs^v<>P"


def beside_figure(
    ours: Sequence[Measured], published: Sequence[Known], xlabel: str, here: str
) -> Figure:
    """Our numbers on the left; published ones, of other models, on the right.

    Args:
        ours: with standard errors; NaN where unknown.
        published: by method and model; may be empty.
        xlabel: what the numbers are.
        here: the model that ours are of.

    Returns:
        The figure, whose label says in words what it shows.

    Raises:
        InputError: nothing of ours.
    """
    if not ours:
        raise InputError("there is nothing to draw: give at least one number that was measured.")
    methods = list(dict.fromkeys(method for method, _, _ in published))
    with house_style():
        figure = new_figure(9.5 if published else 6.5, 0.95 + 0.3 * max(len(ours), len(methods)))
        panels = figure.subplots(1, 2 if published else 1, squeeze=False)[0]
        _draw_ours(panels[0], ours)
        _frame(panels[0], [label for label, _, _ in ours], xlabel, here)
        if published:
            _draw_published(panels[1], published, methods)
            _frame(panels[1], methods, xlabel, "published")
        return finish(figure, _in_words(ours, published, xlabel, here))


def _draw_ours(axes: Axes, ours: Sequence[Measured]) -> None:
    values, errors = as_array([one[1] for one in ours]), as_array([one[2] for one in ours])
    for place, (value, error) in enumerate(zip(values, errors, strict=True)):
        color = INK if place == 0 else BLUE
        width = error if np.isfinite(error) else 0.0
        axes.errorbar(
            [value], [place], xerr=[width], color=color, marker="o", markersize=5.5, elinewidth=1.3
        )


def _draw_published(axes: Axes, published: Sequence[Known], methods: Sequence[str]) -> None:
    models = dict.fromkeys(model for _, model, _ in published)
    for marker, model in zip(_MARKERS, models, strict=False):
        known = [(value, methods.index(method)) for method, one, value in published if one == model]
        axes.plot(
            [value for value, _ in known],
            [place for _, place in known],
            color=ORANGE,
            linestyle="",
            marker=marker,
            markersize=5.5,
            markerfacecolor="none",
            label=model,
        )
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)


def _frame(axes: Axes, labels: Sequence[str], xlabel: str, title: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(xlabel)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    low, high = axes.get_xlim()
    left = min(0.0, low)
    axes.set_xlim(left, high + 0.03 * (high - left))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(visible=False, axis="y")


def _in_words(ours: Sequence[Measured], published: Sequence[Known], xlabel: str, here: str) -> str:
    mine = "; ".join(f"{label} {value:.3g}" for label, value, _ in ours)
    theirs = "; ".join(f"{method} on {model} {value:.3g}" for method, model, value in published)
    return f"{xlabel} on {here}: {mine}." + (f" Published: {theirs}." if theirs else "")
