"""How far texts are from what the bare model would have written."""

from math import isfinite

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from steersman.errors import InputError
from steersman.plots.style import (
    BLUE,
    ORANGE,
    Numbers,
    as_array,
    finish,
    house_style,
    new_figure,
)

_BINS = 30


def divergence_figure(divergences: Numbers, mean: float) -> Figure:
    """How many texts have which divergence from the bare model.

    Args:
        divergences: KL of each text in nats per token; NaN is left out.
        mean: their mean, marked.

    Returns:
        The figure, whose label says in words what it shows.

    Raises:
        InputError: none is known.
    """
    found = as_array(divergences)
    found = found[np.isfinite(found)]
    if not found.size:
        raise InputError("there is nothing to draw: no divergence is known.")
    with house_style():
        figure = new_figure(8.0, 2.4)
        axes = figure.subplots()
        axes.hist(found, bins=_BINS, color=BLUE, alpha=0.75)
        if isfinite(mean):
            axes.axvline(mean, color=ORANGE, linewidth=1.6)
            axes.annotate(
                f"mean {mean:.3f}",
                (mean, 1),
                xycoords=("data", "axes fraction"),
                xytext=(5, -2),
                textcoords="offset points",
                va="top",
                color=ORANGE,
                fontweight="bold",
            )
        axes.set_xlabel("divergence from the bare model, nats per token")
        axes.set_ylabel("samples")
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid(visible=False, axis="x")
        words = f"Divergence of {found.size} samples from the bare model; mean {mean:.3f} nats."
        return finish(figure, words)
