"""The picture of one steered sequence: feature against setpoint, error and effort."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from steersman.errors import InputError
from steersman.plots.style import (
    BLUE,
    ORANGE,
    Array,
    Grid,
    Mask,
    as_array,
    diverging,
    finish,
    frame,
    house_style,
    new_figure,
    require_shape,
    sequential,
)

_LIMIT = 98.0  # percentile at which colours saturate: one outlier must not hide all the rest
_ERROR = diverging("error", BLUE, ORANGE)
_FEATURE = diverging("feature", ORANGE, BLUE)
_EFFORT = sequential("effort", BLUE)


def trace_figure(feature: Grid, setpoint: Grid, effort: Grid, steered: Mask) -> Figure:
    """Feature against setpoint by block, and error and effort by block and token.

    The curves are medians over the steered tokens (over all where none was), the bands run from
    the 10th to the 90th percentile. Where no setpoint is known, as in a plan, the feature is
    mapped in place of the error. Grey in a map is unknown; its colours saturate at the 98th
    percentile.

    Args:
        feature: the feature at the input of each block, natural units, `(blocks, tokens)`; NaN at
            padding.
        setpoint: where it was wanted, natural units, `(blocks, tokens)`; NaN where unknown.
        effort: `|u_t|`, the length of what was added, residual-stream units, `(blocks, tokens)`.
        steered: which tokens the gate let through, `(tokens,)`.

    Returns:
        The figure, whose label says in words what it shows.

    Raises:
        ShapeError: the arrays do not go together.
        InputError: no block or no token.
    """
    run = _Run(as_array(feature), as_array(setpoint), as_array(effort), as_array(steered) > 0)
    with house_style():
        figure = new_figure(8.0, 5.6)
        grid = figure.add_gridspec(2, 2, height_ratios=(1.0, 0.92))
        _draw_curves(figure.add_subplot(grid[0, :]), run)
        left, right = figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[1, 1])
        if run.tracked:
            error = run.setpoint - run.feature
            _draw_map(left, run, error, "Error: setpoint minus feature", _ERROR)
        else:
            _draw_map(left, run, run.feature, "Feature", _FEATURE)
        _draw_map(right, run, run.effort, "Effort |u|", _EFFORT)
        right.set_ylabel("")
        return finish(figure, _in_words(run))


@dataclass(frozen=True, eq=False)
class _Run:
    feature: Array
    setpoint: Array
    effort: Array
    steered: np.ndarray

    def __post_init__(self) -> None:
        if self.feature.ndim != 2 or 0 in self.feature.shape:
            raise InputError(
                f"feature has shape {self.feature.shape}; a trace needs (blocks, tokens) with at "
                "least one of each."
            )
        require_shape("setpoint", self.setpoint, self.feature.shape)
        require_shape("effort", self.effort, self.feature.shape)
        require_shape("steered", self.steered, self.feature.shape[1:])

    @property
    def tracked(self) -> bool:
        return bool(np.isfinite(self.setpoint).any())

    @property
    def shown(self) -> np.ndarray:
        """Indices of the tokens whose spread is drawn."""
        real = np.isfinite(self.feature).any(axis=0)
        chosen = real & self.steered
        return np.flatnonzero(chosen if chosen.any() else real)


def _draw_curves(axes: Axes, run: _Run) -> None:
    tokens = run.shown
    which = "steered tokens" if run.steered[tokens].any() else "tokens"
    low, middle, high = _quantiles(run.feature[:, tokens], (0.1, 0.5, 0.9))
    mark = "o" if len(middle) == 1 else ""
    label = f"feature, median of {len(tokens)} {which}"
    axes.plot(middle, marker=mark, color=BLUE, label=label)
    if len(tokens) > 1:
        axes.fill_between(np.arange(len(low)), low, high, color=BLUE, alpha=0.15, linewidth=0)
        last = run.feature[:, tokens[-1]]
        axes.plot(last, color=BLUE, linewidth=1.0, linestyle=(0, (1, 1.6)), label="last token")
    if run.tracked:
        wanted = _quantiles(run.setpoint[:, tokens], (0.5,))[0]
        dashes = (0, (4, 2))
        axes.plot(wanted, marker=mark, color=ORANGE, linestyle=dashes, label="setpoint, median")
    axes.set_title("Feature by block")
    axes.set_xlabel("block")
    axes.set_ylabel("feature, natural units")
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.grid(visible=False, axis="x")
    axes.margins(x=0.015)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, borderaxespad=0.1)


def _draw_map(axes: Axes, run: _Run, values: Array, title: str, colors: Colormap) -> None:
    """One image; a signed map is centred on zero."""
    top = _quantiles(np.abs(values).reshape(1, -1), (_LIMIT / 100,))[0][0]
    top = float(top) if top > 0 else 1.0
    signed = colors is not _EFFORT
    image = axes.imshow(
        values,
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        cmap=colors,
        vmin=-top if signed else 0.0,
        vmax=top,
    )
    frame(axes)
    axes.set_title(title)
    axes.set_xlabel("token")
    axes.set_ylabel("block")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(8, integer=True))
    _draw_gate(axes, run.steered)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02, aspect=22, extend=_clipped(values, top))
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(5)
    bar.update_ticks()


def _draw_gate(axes: Axes, steered: np.ndarray) -> None:
    """A line along the top edge over the tokens that were steered."""
    over = np.where(steered, 1.0, np.nan)
    edges = np.repeat(np.arange(len(steered) + 1) - 0.5, 2)[1:-1]
    heights = np.repeat(over, 2) * 1.012
    place = axes.get_xaxis_transform()
    axes.plot(
        edges,
        heights,
        transform=place,
        clip_on=False,
        color=ORANGE,
        linewidth=2.2,
        solid_capstyle="butt",
    )
    axes.set_xlim(-0.5, len(steered) - 0.5)
    if steered.any():
        axes.annotate(
            "steered",
            (float(np.flatnonzero(steered)[-1]) + 0.5, 1.0),
            xycoords=place,
            xytext=(0, 4),
            textcoords="offset points",
            ha="right",
            color=ORANGE,
            fontsize=8,
        )


def _clipped(values: Array, top: float) -> str:
    low, high = bool((values < -top).any()), bool((values > top).any())
    return {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[(low, high)]


def _quantiles(values: Array, levels: tuple[float, ...]) -> tuple[Array, ...]:
    """Quantiles of each row over what is known in it; NaN for a row that has nothing."""
    found = np.full((len(levels), len(values)), np.nan)
    for i, row in enumerate(values):
        known = row[np.isfinite(row)]
        if len(known):
            found[:, i] = np.quantile(known, levels)
    return tuple(found)


def _in_words(run: _Run) -> str:
    blocks, tokens = run.feature.shape
    last = _quantiles(run.feature[-1:, run.shown], (0.5,))[0][0]
    words = f"{blocks} blocks and {tokens} tokens, {int(run.steered.sum())} of them steered. "
    words += f"Median feature at block {blocks - 1}: {last:.2f} natural units"
    if run.tracked:
        wanted = _quantiles(run.setpoint[-1:, run.shown], (0.5,))[0][0]
        words += f", setpoint {wanted:.2f}"
    if np.isfinite(run.effort).any():
        most = np.nanmax(run.effort)
        block = int(np.unravel_index(np.nanargmax(run.effort), run.effort.shape)[0])
        words += f". Largest effort: {most:.3g} at block {block}"
    return words + "."
