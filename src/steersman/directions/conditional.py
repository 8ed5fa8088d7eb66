"""Where a state would be in the desired context: a low-rank affine map, chosen out of sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from steersman.directions.leaving_out import parts
from steersman.errors import InputError

RANKS = (1, 2, 4, 8, 16)
RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
FOLDS = 5


@dataclass(frozen=True, eq=False)
class ConditionalShift:
    """`c(x) = G (o + H' x)`: how far a state is from where the desired context would have it.

    Args:
        H: what is read of the state, `(n, k)`; its last column is zero.
        G: the directions of the shift, `(n, k)`; the last one is the shift at `H'x = 0`.
        o: zeros, and a one for the last column, `(k,)`.
    """

    H: Float[Tensor, "n k"]
    G: Float[Tensor, "n k"]
    o: Float[Tensor, " k"]

    def __call__(self, x: Float[Tensor, "rows n"]) -> Float[Tensor, "rows n"]:
        """The shift of every row."""
        return (self.o + x @ self.H) @ self.G.mT


class Choice(NamedTuple):
    """What cross-validation chose, and what it is worth.

    Attributes:
        rank: of the map.
        ridge: its regularisation, in units of the mean square of the states.
        explained: the share of the true shift that it explains on pairs it has not seen,
            `1 - |shift - c(x)|^2 / |shift|^2`.
        by_mean: the share that the mean shift alone explains there.
    """

    rank: int
    ridge: float
    explained: float
    by_mean: float


def conditional_shift(
    x: Float[Tensor, "rows n"], shift: Float[Tensor, "rows n"], rank: int, ridge: float
) -> ConditionalShift:
    """Reduced-rank ridge regression of the shift on the state.

        minimise  sum_i |shift_i - m - M (x_i - xbar)|^2 + ridge (tr K / N) |M|^2,   rank M <= k

    Solved in the dual, `K = X X'` of the centred states, and projected on the leading right
    singular vectors of the fitted values: no matrix of the model's width is made.

    Args:
        x: states in the undesired context.
        shift: where the same tokens are in the desired one, minus `x`.
        rank: the most directions.
        ridge: regularisation, above zero.

    Raises:
        InputError: `rank` below 1, or `ridge` not above zero.

    Source:
        Mukherjee and Zhu, Reduced Rank Ridge Regression and Its Kernel Extensions (2011).
    """
    if rank < 1 or not ridge > 0:
        raise InputError(f"rank is {rank} and ridge {ridge}; give a rank of 1 or more, ridge > 0.")
    dual = _Dual.of(x.double(), shift.double())
    G, alpha = dual.solved(ridge)
    G, alpha = G[:, :rank], alpha @ G[:, :rank]
    H = dual.X.mT @ alpha
    base = dual.mean_shift - G @ (H.mT @ dual.mean)
    zero = torch.zeros_like(base).unsqueeze(1)
    o = torch.zeros(G.shape[1] + 1).to(base)
    o[-1] = 1.0
    return ConditionalShift(torch.cat([H, zero], 1), torch.cat([G, base.unsqueeze(1)], 1), o)


def choose(
    x: Float[Tensor, "rows n"],
    shift: Float[Tensor, "rows n"],
    group: Int[Tensor, " rows"],
    continuation: Int[Tensor, " rows"] | None = None,
    *,
    ranks: Sequence[int] = RANKS,
    ridges: Sequence[float] = RIDGES,
    folds: int = FOLDS,
    seed: int = 0,
) -> Choice:
    """Rank and ridge by the shift that they explain on pairs left out, several times over.

    Args:
        x: states in the undesired context.
        shift: where the same tokens are in the desired one, minus `x`.
        group: which pair each row is of; a pair is left out as a whole.
        continuation: what each row goes on with; what is left out has no continuation in common
            with the rest, where there are as many as folds.
        ranks: to choose from.
        ridges: to choose from.
        folds: parts that are left out in turn.
        seed: of the parts.

    Raises:
        InputError: fewer pairs than folds, or pairs that cannot be left out without all others.
    """
    labels = [group] if continuation is None else [group, continuation]
    left = torch.zeros(len(ranks), len(ridges), dtype=torch.float64)
    by_mean = total = 0.0
    for train, test in parts(labels, folds, seed=seed):
        dual = _Dual.of(x[train].double(), shift[train].double())
        centred, wanted = x[test].double() - dual.mean, shift[test].double()
        rest = wanted - dual.mean_shift
        by_mean += float(rest.square().sum())
        total += float(wanted.square().sum())
        for j, ridge in enumerate(ridges):
            directions, alpha = dual.solved(ridge)
            seen = centred @ (dual.X.mT @ (alpha @ directions))
            for i, rank in enumerate(ranks):
                found = seen[:, :rank] @ directions[:, :rank].mT
                left[i, j] += float((rest - found).square().sum())
    place = int(left.argmin())
    i, j = divmod(place, len(ridges))
    if total == 0.0:
        return Choice(ranks[0], ridges[0], 0.0, 0.0)
    return Choice(ranks[i], ridges[j], 1 - float(left[i, j]) / total, 1 - by_mean / total)


class _Dual(NamedTuple):
    """Centred states and shifts, and the spectrum of the states' inner products."""

    X: Float[Tensor, "rows n"]
    Y: Float[Tensor, "rows n"]
    mean: Float[Tensor, " n"]
    mean_shift: Float[Tensor, " n"]
    values: Float[Tensor, " rows"]
    vectors: Float[Tensor, "rows rows"]

    @classmethod
    def of(cls, x: Tensor, shift: Tensor) -> "_Dual":
        mean, mean_shift = x.mean(0), shift.mean(0)
        X, Y = x - mean, shift - mean_shift
        values, vectors = torch.linalg.eigh(X @ X.mT)
        return cls(X, Y, mean, mean_shift, values.clamp_min(0), vectors)

    def solved(self, ridge: float) -> tuple[Tensor, Tensor]:
        """Leading directions of the fitted shifts, `(n, r)`, and the dual coefficients."""
        scale = float(self.values.sum())
        if scale == 0.0:  # one state for all: only the mean can be learnt
            return torch.zeros_like(self.X.mT)[:, :1], torch.zeros_like(self.Y)
        rotated = self.vectors.mT @ self.Y
        alpha = rotated / (self.values + ridge * scale / len(self.values)).unsqueeze(1)
        fitted = self.values.unsqueeze(1) * alpha
        directions = torch.linalg.svd(fitted, full_matrices=False).Vh.mT
        return directions, self.vectors @ alpha
