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
RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
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
        left: the share that it leaves unexplained, part by part; they add up to the whole.
    """

    rank: int
    ridge: float
    explained: float
    by_mean: float
    left: tuple[float, ...] = ()


def conditional_shift(
    x: Float[Tensor, "rows n"], shift: Float[Tensor, "rows n"], rank: int, ridge: float
) -> ConditionalShift:
    """Reduced-rank ridge regression of the shift on the state.

        minimise  sum_i |shift_i - m - M (x_i - xbar)|^2 + ridge (tr K / N) |M|^2,   rank M <= k

    Solved through the spectrum of the smaller of `X X'` and `X' X`, `K = X X'` of the centred
    states, and projected on the leading right singular vectors of the fitted values: no matrix of
    the model's width is made where there are fewer rows.

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
    spectrum = _Spectrum.of(x.double(), shift.double())
    found = spectrum.solved(ridge)
    H, G = (part[:, :rank] for part in found)
    base = spectrum.mean_shift - G @ (H.mT @ spectrum.mean)
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

    The best are nearly always among many that are nearly as good, and of those the least ridge goes
    furthest astray at states unlike the examples. So `plainest` takes the largest ridge, and with
    it the lowest rank, that is as good within the error.

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

    Source:
        Breiman, Friedman, Olshen and Stone, Classification and Regression Trees (1984), section
        3.4.3, for the rule of one standard error.
    """
    labels = [group] if continuation is None else [group, continuation]
    left: list[Tensor] = []
    by_mean, totals = 0.0, list[float]()
    for train, test in parts(labels, folds, seed=seed):
        spectrum = _Spectrum.of(x[train].double(), shift[train].double())
        centred, wanted = x[test].double() - spectrum.mean, shift[test].double()
        rest = wanted - spectrum.mean_shift
        by_mean += float(rest.square().sum())
        totals.append(float(wanted.square().sum()))
        left.append(torch.zeros(len(ridges), len(ranks), dtype=torch.float64))
        for j, ridge in enumerate(ridges):
            observers, directions = spectrum.solved(ridge)
            seen = centred @ observers
            for i, rank in enumerate(ranks):
                found = seen[:, :rank] @ directions[:, :rank].mT
                left[-1][j, i] = float((rest - found).square().sum())
    total = sum(totals)
    if total == 0.0:
        return Choice(ranks[0], ridges[0], 0.0, 0.0, (1.0,) * len(totals))
    share = torch.stack(left) / total
    by_mean = 1 - by_mean / total
    choices = [
        Choice(rank, ridge, 1 - float(left.sum()), by_mean, tuple(left.tolist()))
        for j, ridge in enumerate(ridges)
        for i, rank in enumerate(ranks)
        for left in [share[:, j, i]]
    ]
    return choices[plainest(choices)]


def plainest(choices: Sequence[Choice]) -> int:
    """Which choice has the largest ridge, and then the lowest rank, of those as good as the best.

    As good is what leaves no more unexplained but for one standard error, over parts, of the
    difference: what is hard in a part is hard for all, and drops out of it.
    """
    left = torch.tensor([one.left for one in choices], dtype=torch.float64)
    more = left - left[left.sum(1).argmin()]
    parts = left.shape[1]
    # The sum over parts has the variance of all of them together.
    error = more.std(1) * parts**0.5 if parts > 1 else torch.zeros(len(choices))
    good: list[int] = (more.sum(1) <= error).nonzero().flatten().tolist()
    return min(good, key=lambda k: (-choices[k].ridge, choices[k].rank, -choices[k].explained))


class _Spectrum(NamedTuple):
    """Centred states `X = U S V'`, and the centred shifts `Y` as `U` sees them.

    Attributes:
        V: right singular vectors of the states, `(n, r)`.
        sizes: `S`, `(r,)`, none of them no more than rounding.
        projected: `U' Y`, `(r, n)`.
        rows: how many states there are.
        mean: of the states.
        mean_shift: of the shifts.
    """

    V: Float[Tensor, "n r"]
    sizes: Float[Tensor, " r"]
    projected: Float[Tensor, "r n"]
    rows: int
    mean: Float[Tensor, " n"]
    mean_shift: Float[Tensor, " n"]

    @classmethod
    def of(cls, x: Float[Tensor, "rows n"], shift: Float[Tensor, "rows n"]) -> "_Spectrum":
        mean, mean_shift = x.mean(0), shift.mean(0)
        X, Y = x - mean, shift - mean_shift
        few = len(X) <= X.shape[1]
        squares, vectors = torch.linalg.eigh(X @ X.mT if few else X.mT @ X)
        kept = squares > squares[-1].clamp_min(0) * torch.finfo(X.dtype).eps * max(X.shape)
        sizes, vectors = squares[kept].sqrt(), vectors[:, kept]
        V = X.mT @ (vectors / sizes) if few else vectors
        projected = vectors.mT @ Y if few else (V / sizes).mT @ (X.mT @ Y)
        return cls(V, sizes, projected, len(X), mean, mean_shift)

    def solved(self, ridge: float) -> tuple[Float[Tensor, "n r"], Float[Tensor, "n r"]]:
        """`H` and `G` of the ridge solution `M = G H'`, the leading directions first."""
        if not len(self.sizes):  # one state for all: only the mean can be learnt
            nothing = torch.zeros_like(self.mean).unsqueeze(1)
            return nothing, nothing
        squares = self.sizes.square()
        weight = self.sizes / (squares + ridge * float(squares.sum()) / self.rows)
        coefficients = weight.unsqueeze(1) * self.projected
        fitted = self.sizes.unsqueeze(1) * coefficients
        G = torch.linalg.svd(fitted, full_matrices=False).Vh.mT
        return self.V @ (coefficients @ G), G
