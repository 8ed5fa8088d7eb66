"""One visual language for every figure: quiet ink, blue for what is, orange for what is wanted.

Backgrounds are transparent and the ink is a middle grey, so that a figure reads on a light and on
a dark page. Blue against orange survives the common kinds of colour blindness.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import numpy as np
from jaxtyping import Bool, Float
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from torch import Tensor

from steersman.errors import ShapeError

INK = "#6e7681"
"""Text, axes and whatever is unsteered."""
BLUE = "#1f83c4"
"""What is: the feature, the steered score."""
ORANGE = "#d9690f"
"""What is wanted: the setpoint."""

Numbers = Sequence[float] | Float[Tensor, " _"] | Float[np.ndarray, " _"]
"""One series: a sequence, tensor or array."""
Grid = Float[Tensor, "blocks tokens"] | Float[np.ndarray, "blocks tokens"]
"""Values by block and token."""
Mask = Bool[Tensor, " tokens"] | Bool[np.ndarray, " tokens"]
"""A choice of tokens."""
Array = Float[np.ndarray, "..."]
"""What every figure draws, in float64."""

_STYLE: dict[str, object] = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.unicode_minus": True,
    "figure.constrained_layout.h_pad": 0.07,
    "figure.constrained_layout.w_pad": 0.07,
    "figure.dpi": 144,
    "figure.facecolor": "none",
    "font.size": 9,
    "grid.alpha": 0.22,
    "grid.color": INK,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "savefig.facecolor": "none",
    "text.color": INK,
    "text.parse_math": False,  # labels are a user's words: a dollar sign is a dollar sign
    "xtick.color": INK,
    "xtick.labelsize": 8.5,
    "xtick.major.size": 0,
    "xtick.major.pad": 5,
    "ytick.color": INK,
    "ytick.labelsize": 8.5,
    "ytick.major.size": 0,
    "ytick.major.pad": 5,
}


def house_style() -> AbstractContextManager[None]:
    """Take matplotlib's defaults and then ours, whatever the user has set, until the block ends."""
    return style.context(["default", _STYLE])


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in inches that lays itself out; call inside `house_style`."""
    return Figure(figsize=(width, height), layout="constrained")


def finish(figure: Figure, words: str) -> Figure:
    """Lay the figure out once and for all, so that it is drawn the same each time.

    Args:
        figure: made inside the same `house_style`.
        words: what it shows, for who cannot see it; becomes its label.
    """
    with quiet_fonts():
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    figure.set_label(words)
    return figure


@contextmanager
def quiet_fonts() -> Iterator[None]:
    """No warning for letters that matplotlib's font lacks: in an SVG they stay text."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def diverging(name: str, low: str, high: str) -> LinearSegmentedColormap:
    """A map between two colours whose middle is transparent, so that zero is the page itself."""
    stops = [(0.0, (low, 1.0)), (0.5, (low, 0.0)), (0.5, (high, 0.0)), (1.0, (high, 1.0))]
    return _with_gaps(LinearSegmentedColormap.from_list(name, stops))


def sequential(name: str, high: str) -> LinearSegmentedColormap:
    """A map that starts transparent and ends in one colour."""
    return _with_gaps(
        LinearSegmentedColormap.from_list(name, [(0.0, (high, 0.0)), (1.0, (high, 1.0))])
    )


def _with_gaps(colormap: LinearSegmentedColormap) -> LinearSegmentedColormap:
    """Unknown values in a flat translucent grey that no colour of the map has."""
    return colormap.with_extremes(bad=(INK, 0.28))  # type: ignore[return-value]


def frame(axes: Axes) -> None:
    """Close the box around an image and take its grid away."""
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_alpha(0.45)


def as_array(values: Numbers | Grid | Mask) -> Array:
    """Float64 on the CPU; infinite values become NaN, which every figure leaves out."""
    if isinstance(values, Tensor):
        found = values.detach().cpu().double().numpy()
    else:
        found = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(found), found, np.nan)


def require_shape(name: str, found: np.ndarray, expected: tuple[int, ...]) -> None:
    """Refuse an array of another shape.

    Raises:
        ShapeError: names both shapes.
    """
    if found.shape != expected:
        raise ShapeError(f"{name} has shape {found.shape}; this figure needs {expected}.")
