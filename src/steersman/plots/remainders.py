"""Figures of how far linear plants foretell a step: by block and length, and by plant."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator, NullLocator
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
    frame,
    house_style,
    new_figure,
    require_shape,
    sequential,
)

Map = Float[Tensor, "blocks scales"] | Float[np.ndarray, "blocks scales"]
"""A share by block and length of step."""
Curve = tuple[Numbers, Numbers]
"""Values and their standard errors, one of each a scale."""

_SHARE = sequential("share", BLUE)
_READABLE = 100
"""Cells of a map up to which each has room for its number."""
_DARK = 0.55

Look = tuple[str, str | tuple[float, tuple[float, float]]]
"""A colour and a line style."""

LOOKS: tuple[Look, ...] = ((BLUE, "-"), (ORANGE, "-"), (ORANGE, (0.0, (4.0, 2.0))), (INK, "-"))
"""How the curves of one panel differ, in their order; the last is what the others have to beat."""


def remainder_figure(
    scales: Numbers,
    rows: Mapping[str, Mapping[str, Map]],
    reach: Mapping[str, Numbers],
) -> Figure:
    """Shares that a plant misses, by block and length of step: one panel a kind of step and row.

    Where a natural step of a kind is known, a stroke in each block's line marks its length, an
    arrow where it is longer than any step taken.

    Args:
        scales: `|d| / |x|`, rising.
        rows: what is shared -> kind of step -> shares, `(blocks, scales)`; NaN is left grey.
        reach: kind of step -> the length of a natural step in each block, `|d| / |x|`.

    Returns:
        The figure, whose label says in words what it shows.

    Raises:
        InputError: nothing to draw.
        ShapeError: a map that is not of all blocks and scales.
    """
    given = as_array(scales)
    if not rows or not all(rows.values()) or not given.size:
        raise InputError("there is nothing to draw: give at least one scale, row and kind of step.")
    maps = [[as_array(values) for values in row.values()] for row in rows.values()]
    blocks = maps[0][0].shape[0]
    kinds = list(next(iter(rows.values())))
    height = 1.3 + min(max(0.24 * blocks, 1.3), 4.0)
    with house_style():
        figure = new_figure(8.0, (height + 0.55) * len(rows))
        parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
        for part, (name, drawn) in zip(parts, zip(rows, maps, strict=True), strict=True):
            grid = part.subplots(1, len(kinds), squeeze=False, sharex=True, sharey=True)[0]
            for axes, kind, values in zip(grid, kinds, drawn, strict=True):
                require_shape(f"{name} of {kind}", values, (blocks, given.size))
                image = _draw_map(axes, values)
                _mark_reach(axes, given, as_array(reach[kind]) if kind in reach else None)
                axes.set_title(kind, fontweight="normal")
                axes.set_xticks(range(given.size), [f"{scale:g}" for scale in given])
                axes.set_xlabel("|d| / |x|")
            _name_row(part, list(grid), image, name)
        return finish(figure, _maps_in_words(given, rows))


def plants_figure(
    scales: Numbers, panels: Mapping[str, Mapping[str, Curve]], ylabel: str
) -> Figure:
    """The share of a change that each plant misses, against the length of the step.

    Args:
        scales: `|d| / |x|`, rising.
        panels: kind of step -> plant -> (means, standard errors); at most four plants, of which
            the last is what the others have to beat.
        ylabel: what the share is.

    Returns:
        The figure, whose label says in words what it shows.

    Raises:
        InputError: nothing to draw, or more plants than can be told apart.
        ShapeError: not one mean and one standard error a scale.
    """
    given = as_array(scales)
    if not panels or not given.size:
        raise InputError("there is nothing to draw: give at least one scale and kind of step.")
    if any(not 0 < len(curves) <= len(LOOKS) for curves in panels.values()):
        raise InputError(f"each kind of step takes between 1 and {len(LOOKS)} plants.")
    with house_style():
        figure = new_figure(8.0, 3.1)
        grid = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
        for axes, (kind, curves) in zip(grid, panels.items(), strict=True):
            _draw_curves(axes, given, curves)
            axes.set_title(kind)
            axes.set_xlabel("|d| / |x|")
        grid[0].set_ylabel(ylabel)
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))
        return finish(figure, _curves_in_words(given, panels, ylabel))


def _draw_map(axes: Axes, values: Array) -> AxesImage:
    image = axes.imshow(
        values, aspect="auto", origin="lower", interpolation="nearest", cmap=_SHARE, vmin=0, vmax=1
    )
    frame(axes)
    axes.yaxis.set_major_locator(MaxNLocator(8, integer=True))
    if values.size <= _READABLE:
        for (block, scale), value in np.ndenumerate(values):
            if np.isfinite(value):
                color = "white" if value > _DARK else INK
                axes.text(
                    scale,
                    block,
                    short(value),
                    ha="center",
                    va="center",
                    fontsize=6.5,
                    color=color,
                )
    return image


def _mark_reach(axes: Axes, scales: Array, reach: Array | None) -> None:
    """Where on the logarithmic axis of scales a natural step of each block lies."""
    if reach is None or len(scales) < 2:
        return
    known = np.isfinite(reach) & (reach >= scales[0])
    blocks = np.flatnonzero(known)
    places = np.interp(np.log(reach[known]), np.log(scales), np.arange(len(scales)))
    beyond = reach[known] > scales[-1]
    for block, place in zip(blocks[~beyond], places[~beyond], strict=True):
        axes.plot([place, place], [block - 0.48, block - 0.22], color=ORANGE, linewidth=2.2)
    if beyond.any():
        edge = np.full(beyond.sum(), len(scales) - 0.5)
        axes.plot(
            edge,
            blocks[beyond],
            color=ORANGE,
            linestyle="",
            marker=">",
            markersize=4.5,
            clip_on=False,
            zorder=5,
        )


def _name_row(part: SubFigure, grid: list[Axes], image: AxesImage, name: str) -> None:
    part.suptitle(name, x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    grid[0].set_ylabel("block")
    bar = part.colorbar(image, ax=grid, pad=0.015, aspect=18, extend="max")
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(5)
    bar.update_ticks()


def _draw_curves(axes: Axes, scales: Array, curves: Mapping[str, Curve]) -> None:
    looks = [*LOOKS[: len(curves) - 1], LOOKS[-1]] if len(curves) > 1 else LOOKS[:1]
    for (plant, (means, errors)), (color, style) in zip(curves.items(), looks, strict=True):
        mean, error = as_array(means), as_array(errors)
        require_shape(f"the means of {plant!r}", mean, scales.shape)
        require_shape(f"the standard errors of {plant!r}", error, scales.shape)
        low = np.maximum(mean - error, mean / 10)
        axes.fill_between(scales, low, mean + error, color=color, alpha=0.15, linewidth=0)
        axes.plot(scales, mean, color=color, linestyle=style, marker="o", markersize=3, label=plant)
    axes.set_xscale("log")
    if any((as_array(means) > 0).any() for means, _ in curves.values()):
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(scales)))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{scale:g}" for scale in scales]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.tick_params(axis="x", labelsize=7.5)


def short(share: float) -> str:
    """A share in two or three characters: .03, .3, 1.2."""
    if share < 0.005:
        return ".00" if share < 0.0005 else f"{share:.3f}".removeprefix("0")
    return f"{share:.2f}".removeprefix("0") if share < 0.995 else f"{share:.1f}"


def _maps_in_words(scales: Array, rows: Mapping[str, Mapping[str, Map]]) -> str:
    parts = []
    for name, row in rows.items():
        ends = []
        for kind, values in row.items():
            drawn = as_array(values)
            low, high = (_median(drawn[:, place]) for place in (0, -1))
            ends.append(f"{kind} steps {low} to {high}")
        parts.append(f"{name}, median over blocks: {', '.join(ends)}")
    span = f"|d| / |x| from {scales[0]:g} to {scales[-1]:g}"
    return f"Shares missed by block, {span}. {'; '.join(parts)}."


def _curves_in_words(scales: Array, panels: Mapping[str, Mapping[str, Curve]], ylabel: str) -> str:
    parts = []
    for kind, curves in panels.items():
        named = [f"{name} {_median(as_array(means)[-1:])}" for name, (means, _) in curves.items()]
        parts.append(f"{kind} steps: {', '.join(named)}")
    return f"{ylabel} against |d| / |x|; at {scales[-1]:g}, {'; '.join(parts)}."


def _median(values: Array) -> str:
    known = values[np.isfinite(values)]
    return f"{np.median(known):.2g}" if known.size else "not known"
