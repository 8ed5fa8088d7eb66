"""The subspace that the states of a task vary in, or lie in: its axes, largest first."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.directions.covariance import shrunk_covariance
from steersman.directions.observer import centred
from steersman.errors import InputError


@dataclass(frozen=True, eq=False)
class Subspace:
    """Orthonormal axes `B` and how far states reach along each.

    Args:
        axes: `B`, `(n, k)`, the one of the largest size first.
        sizes: root mean square of the states along each, `(k,)`.
    """

    axes: Float[Tensor, "n k"]
    sizes: Float[Tensor, " k"]

    def coordinates(self, rows: Float[Tensor, "rows n"]) -> Float[Tensor, "rows k"]:
        """`B'x` of each row: the row expressed in the axes."""
        return rows @ self.axes

    def kept(self, d: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """`B B' d`: what of a direction lies within."""
        return self.axes @ (self.axes.mT @ d)

    def removed(self, d: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """`d - B B' d`: what of a direction lies beyond."""
        return d - self.kept(d)


def principal_axes(rows: Float[Tensor, "rows n"], most: int, *, centre: bool = True) -> Subspace:
    """The leading right singular vectors of states, by the smaller of `X X'` and `X' X`.

        X = U S B',    sizes = S / sqrt(rows)

    Args:
        rows: states, float64.
        most: the most axes; fewer where the states have fewer.
        centre: take the mean off first, so that what counts is how states vary. Otherwise what
            counts is where they lie, and the first axis is close to their mean.

    Returns:
        The axes; none where no state differs from zero, or from the mean.

    Raises:
        InputError: `most` is below 1.
    """
    if most < 1:
        raise InputError(f"{most} axes are asked for; give 1 or more.")
    X = centred(rows) if centre else rows
    if not bool(X.any()):
        return Subspace(torch.zeros_like(rows[:1]).mT[:, :0], rows.new_zeros(0))
    found = shrunk_covariance(X, 0.0)
    return Subspace(found.basis[:, :most], found.values[:most].sqrt())


def upwards(d: Float[Tensor, " n"], contrast: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """`d` or `-d`: that which the difference of the means points along; `d` where neither is.

    Args:
        d: a direction whose sign means nothing.
        contrast: mean desired minus mean undesired state.
    """
    return -d if float(d @ contrast) < 0 else d


def unless_rounding(left: Float[Tensor, " n"], whole: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """What is left of a direction; zero where that is hardly more than rounding.

    Args:
        left: a part of `whole`.
        whole: the direction as it was.
    """
    return left if float(left.norm()) > 1e-6 * float(whole.norm()) else torch.zeros_like(left)
