"""Figures of Jacobian spectra, and of how alike Jacobians are from prompt to prompt."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
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

Values = Float[Tensor, "blocks n"] | Float[np.ndarray, "blocks n"]
"""Singular values of every block."""
Square = Float[Tensor, "m m"] | Float[np.ndarray, "m m"]
"""A number for every two prompts."""
Series = tuple[Numbers, Numbers]
"""Means and standard errors, one of each a block."""

_DEPTH = LinearSegmentedColormap.from_list("depth", ["#9cc9e8", BLUE, "#0b3a5b"])
_SHARE = sequential("similarity", BLUE)
_DASHED = (0.0, (4.0, 2.0))
_LOOKS: tuple[tuple[str, str | tuple[float, tuple[float, float]]], ...] = (
    (BLUE, "-"),
    (BLUE, _DASHED),
    (ORANGE, "-"),
    (ORANGE, _DASHED),
)
_DECADES = 30.0
"""Spectra that span more than this are drawn by logarithms."""
_FLOOR = 1e-4
"""Singular values below this share of the largest one shown are rounding, and are not drawn."""


def spectra_figure(panels: Mapping[str, tuple[Values, Values]], first: int = 0) -> Figure:
    """Singular values of every block, falling, with their spread over prompts.

    Args:
        panels: what the matrix is -> (means, standard deviations), each `(blocks, n)`.
        first: the number of the first block given.

    Returns:
        The figure, whose label says in words what it shows.

    Raises:
        InputError: nothing to draw.
        ShapeError: means and standard deviations of different shapes.
    """
    drawn = {name: (as_array(mean), as_array(sd)) for name, (mean, sd) in panels.items()}
    if not drawn or any(not mean.size for mean, _ in drawn.values()):
        raise InputError("there is nothing to draw: give at least one spectrum.")
    blocks = max(len(mean) for mean, _ in drawn.values())
    with house_style():
        figure = new_figure(8.0, 3.2)
        grid = figure.subplots(1, len(drawn), squeeze=False)[0]
        for axes, (name, (mean, sd)) in zip(grid, drawn.items(), strict=True):
            require_shape(f"the standard deviations of {name}", sd, mean.shape)
            _draw_spectra(axes, mean, sd)
            axes.set_title(f"Singular values of {name}")
            axes.set_xlabel("rank")
        if blocks > 1:
            _draw_depth(figure, list(grid), first, blocks)
        words = "; ".join(f"{name} {_span(mean[:, 0])}" for name, (mean, _) in drawn.items())
        return finish(figure, f"Singular values of {blocks} blocks. Largest: {words}.")


def similarity_figure(panels: Mapping[str, tuple[Mapping[str, Series], Numbers]]) -> Figure:
    """Similarity by block for groups of pairs of prompts, above what chance makes.

    Args:
        panels: what the matrix is -> (group -> (means, standard errors), chance), one of each a
            block; at most four groups.

    Returns:
        The figure, whose label says in words what it shows.

    Raises:
        InputError: nothing to draw, or more groups than can be told apart.
        ShapeError: not one number a block.
    """
    if not panels or any(not 0 < len(groups) <= len(_LOOKS) for groups, _ in panels.values()):
        raise InputError(f"each panel takes between 1 and {len(_LOOKS)} groups.")
    with house_style():
        figure = new_figure(8.0, 3.3)
        grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        parts = []
        for axes, (name, (groups, chance)) in zip(grid, panels.items(), strict=True):
            _draw_groups(axes, groups, as_array(chance))
            axes.set_title(f"Similarity of {name}")
            parts.append(f"{name}: {_groups_in_words(groups, as_array(chance))}")
        grid[0].set_ylabel("spectral similarity")
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=3)
        return finish(figure, f"Similarity, mean over blocks. {'; '.join(parts)}.")


def pairs_figure(maps: Mapping[str, Square], domains: Sequence[str]) -> Figure:
    """Similarity of every two prompts, one map a block, with lines between the domains.

    Args:
        maps: what the block is called -> similarity, `(prompts, prompts)`.
        domains: of every prompt; those of one domain stand together.

    Returns:
        The figure, whose label says in words what it shows.

    Raises:
        InputError: nothing to draw.
        ShapeError: a map that is not of all prompts.
    """
    if not maps or not domains:
        raise InputError("there is nothing to draw: give at least one map and its domains.")
    size = len(domains)
    with house_style():
        figure = new_figure(8.0, 1.0 + 7.4 / max(len(maps), 2))
        grid = figure.subplots(1, len(maps), squeeze=False, sharey=True)[0]
        for axes, (name, values) in zip(grid, maps.items(), strict=True):
            drawn = as_array(values)
            require_shape(f"the similarity of {name}", drawn, (size, size))
            image = axes.imshow(drawn, interpolation="nearest", cmap=_SHARE, vmin=0, vmax=1)
            frame(axes)
            axes.set_title(name)
            _draw_domains(axes, domains)
        bar = figure.colorbar(image, ax=list(grid), pad=0.015, aspect=20, shrink=0.8)
        bar.outline.set_visible(False)
        words = f"Similarity of every two of {size} prompts at {', '.join(maps)}."
        return finish(figure, words)


def _draw_spectra(axes: Axes, mean: Array, sd: Array) -> None:
    ranks = np.arange(1, mean.shape[1] + 1)
    shades = _DEPTH(np.linspace(0, 1, len(mean))) if len(mean) > 1 else [BLUE]
    least = _FLOOR * np.nanmax(mean) if np.isfinite(mean).any() else 0.0
    for values, spread, shade in zip(mean, sd, shades, strict=True):
        known = values > least
        low = np.maximum(values - spread, 0.2 * values)
        band = (ranks[known], low[known], (values + spread)[known])
        axes.fill_between(*band, color=shade, alpha=0.16, linewidth=0)
        axes.plot(ranks[known], values[known], color=shade, linewidth=1.4)
    drawn = mean[mean > least]
    if drawn.size:
        axes.set_xscale("log")
        axes.set_yscale("log" if drawn.max() > _DECADES * drawn.min() else "linear")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _draw_depth(figure: Figure, grid: list[Axes], first: int, blocks: int) -> None:
    shown = ScalarMappable(Normalize(first, first + blocks - 1), _DEPTH)
    bar = figure.colorbar(shown, ax=grid, pad=0.015, aspect=20)
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(6, integer=True)
    bar.set_label("block")
    bar.update_ticks()


def _draw_groups(axes: Axes, groups: Mapping[str, Series], chance: Array) -> None:
    blocks = np.arange(len(chance))
    for (name, (means, errors)), (color, style) in zip(groups.items(), _LOOKS, strict=False):
        mean, error = as_array(means), as_array(errors)
        require_shape(f"the means of {name!r}", mean, chance.shape)
        require_shape(f"the standard errors of {name!r}", error, chance.shape)
        axes.fill_between(blocks, mean - error, mean + error, color=color, alpha=0.14, linewidth=0)
        axes.plot(blocks, mean, color=color, linestyle=style, marker="o", markersize=3, label=name)
    axes.plot(blocks, chance, color=INK, linewidth=1.3, label="chance")
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("block")
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.grid(visible=False, axis="x")


def _draw_domains(axes: Axes, domains: Sequence[str]) -> None:
    """A thin line where one domain ends, and its name in the middle."""
    changes = [i for i in range(1, len(domains)) if domains[i] != domains[i - 1]]
    for place in changes:
        axes.axhline(place - 0.5, color=INK, linewidth=0.5)
        axes.axvline(place - 0.5, color=INK, linewidth=0.5)
    starts, ends = [0, *changes], [*changes, len(domains)]
    middles = [(a + b - 1) / 2 for a, b in zip(starts, ends, strict=True)]
    names = [domains[a] for a in starts]
    axes.set_yticks(middles, names)
    axes.set_xticks(middles, names, rotation=35, ha="right", rotation_mode="anchor")
    axes.tick_params(labelsize=7.5)


def _span(values: Array) -> str:
    known = values[np.isfinite(values)]
    return f"{known.min():.3g} to {known.max():.3g}" if known.size else "not known"


def _groups_in_words(groups: Mapping[str, Series], chance: Array) -> str:
    named = {name: as_array(means) for name, (means, _) in groups.items()} | {"chance": chance}
    return ", ".join(f"{name} {_mean(values)}" for name, values in named.items())


def _mean(values: Array) -> str:
    known = values[np.isfinite(values)]
    return f"{known.mean():.2f}" if known.size else "not known"
