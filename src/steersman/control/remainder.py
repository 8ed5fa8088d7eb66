"""How far a step of a nonlinear plant is from what a linear one foretells."""

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_positive, require_shape
from steersman.errors import InputError


def relative_remainder(
    change: Float[Tensor, "n *k"], foretold: Float[Tensor, "n *k"]
) -> Float[Tensor, " *k"]:
    """`|Delta - A d| / |Delta|` of each column: the share of a change that the plant misses.

        Delta = f(x + d) - f(x)

    0 for a linear block, whatever the step; proportional to `|d|` as `d -> 0` for a smooth one,
    whose remainder is `f''(x)[d, d] / 2 + O(|d|^3)`. It is 1 for a plant that foretells no change
    at all, and may be more.

    Args:
        change: `Delta`, one a column.
        foretold: `A d` of the same steps.

    Returns:
        The ratio; NaN where nothing changed and nothing was foretold.

    Raises:
        ShapeError: the shapes differ.
    """
    axes = tuple((f"axis {i}", size) for i, size in enumerate(change.shape))
    require_shape("foretold", foretold, *axes)
    missed: Tensor = torch.linalg.vector_norm(change - foretold, dim=0)
    moved: Tensor = torch.linalg.vector_norm(change, dim=0)
    return missed / moved


def linear_range(
    scales: Float[Tensor, " scales"], remainder: Float[Tensor, "curves scales"], level: float
) -> Float[Tensor, " curves"]:
    """The smallest scale at which each remainder reaches `level`, between the scales by logarithms.

    Args:
        scales: `|d| / |x|`, rising.
        remainder: one curve a row.
        level: such as 0.1: up to there nine tenths of a change are foretold.

    Returns:
        The scale; infinite where the level is not reached, 0 where the first scale is above it
        already, NaN where a curve is not known.

    Raises:
        InputError: the scales do not rise, or a scale or the level is not above zero.
        ShapeError: not one remainder a scale.
    """
    require_positive("level", level)
    if not bool((scales > 0).all()) or not bool((scales.diff() > 0).all()):
        raise InputError(f"scales are {scales.tolist()}; they must rise and be above zero.")
    require_shape("remainder", remainder, ("curves", len(remainder)), ("scales", len(scales)))
    return torch.stack([_crossing(scales, curve, level) for curve in remainder])


def _crossing(scales: Tensor, curve: Tensor, level: float) -> Tensor:
    if not bool(curve.isfinite().all()):
        return scales.new_tensor(torch.nan)
    above = (curve >= level).nonzero()
    if not len(above):
        return scales.new_tensor(torch.inf)
    last = int(above[0])
    if last == 0:
        return scales.new_tensor(0.0)
    pair = slice(last - 1, last + 1)
    low, high = curve[pair].clamp_min(torch.finfo(curve.dtype).tiny).log()
    share = (torch.tensor(level, dtype=curve.dtype).log() - low) / (high - low)
    start, end = scales[pair].log()
    crossing: Tensor = (start + share.to(start) * (end - start)).exp()
    return crossing
