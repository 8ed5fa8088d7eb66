"""The covariance of states, shrunk so that a few examples of a wide state will do."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.errors import InputError, NumericalError


@dataclass(frozen=True, eq=False)
class Covariance:
    """`S = (1 - d) X'X/N + d m I` of centred rows `X`, by its spectrum; `m = tr(X'X/N) / n`.

    It is `basis diag(values) basis'` on the span of the rows and `floor` in every direction beyond,
    so nothing larger than `n` by `min(N, n)` is ever held.

    Args:
        basis: orthonormal directions of the rows, `(n, r)`.
        values: the variance along each, shrunk, descending, `(r,)`.
        floor: the variance in every other direction, `d m`.
        shrinkage: `d`.
    """

    basis: Float[Tensor, "n r"]
    values: Float[Tensor, " r"]
    floor: float
    shrinkage: float

    @property
    def n(self) -> int:
        """The width of the states."""
        return self.basis.shape[0]

    @property
    def mean_variance(self) -> float:
        """`m`: the variance of a coordinate on average, which shrinking leaves as it is."""
        return (float(self.values.sum()) + (self.n - len(self.values)) * self.floor) / self.n

    def solve(self, rows: Float[Tensor, "rows n"]) -> Float[Tensor, "rows n"]:
        """`S^-1 x` for each row `x`.

        Raises:
            NumericalError: the covariance is singular.
        """
        self._require_regular()
        seen = rows @ self.basis
        inside = (seen / self.values) @ self.basis.mT
        if len(self.values) == self.n:
            return inside
        return inside + (rows - seen @ self.basis.mT) / self.floor

    def distances(self, rows: Float[Tensor, "rows n"]) -> Float[Tensor, " rows"]:
        """`x' S^-1 x`, the squared Mahalanobis length of each row.

        Raises:
            NumericalError: the covariance is singular.
        """
        return (self.solve(rows) * rows).sum(-1).clamp_min(0)

    def leading(self, share: float, most: int) -> Float[Tensor, "n k"]:
        """`B` with `B B'` the covariance on its leading directions: as many as hold a share of it.

        Args:
            share: of the variance within the span of the rows, above 0 and at most 1.
            most: the most directions.

        Raises:
            InputError: `share` or `most` cannot be.
        """
        if not 0 < share <= 1 or most < 1:
            raise InputError(f"share is {share} and most {most}; give 0 < share <= 1, most >= 1.")
        held = self.values.cumsum(0) / self.values.sum()
        # Rounding must not ask for one direction more than there are.
        enough = int((held < share - 1e-12).sum()) + 1
        k = min(enough, most, len(self.values))
        return self.basis[:, :k] * self.values[:k].sqrt()

    def _require_regular(self) -> None:
        if self.floor > 0 or (len(self.values) == self.n and bool((self.values > 0).all())):
            return
        raise NumericalError(
            f"the covariance of these states is singular: they vary in {len(self.values)} of "
            f"{self.n} directions. Give more examples, or a shrinkage above zero."
        )


def shrunk_covariance(rows: Float[Tensor, "rows n"], shrinkage: float | None = None) -> Covariance:
    """The covariance of centred rows with the shrinkage of Ledoit and Wolf.

        S = X'X/N,   m = tr S / n,   d^2 = |S - m I|^2,   b^2 = sum_k |x_k x_k' - S|^2 / N^2
        shrinkage = min(1, b^2 / d^2)

    All of it comes from the `N x N` inner products where there are fewer rows than coordinates:
    `|S|^2 = |X X'|^2 / N^2` and `sum_k |x_k x_k'|^2 = sum_k |x_k|^4`.

    Args:
        rows: states minus their means, `(N, n)`.
        shrinkage: how much of the way to `m I`, between 0 and 1; None is Ledoit and Wolf's.

    Raises:
        InputError: no row that differs from zero, or a shrinkage that is not between 0 and 1.

    Source:
        Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices
        (Journal of Multivariate Analysis 88, 2004), section 3.3.
    """
    X = rows.double()
    N, n = X.shape
    gram = X @ X.mT if n > N else X.mT @ X
    total = float(gram.diagonal().sum())
    if total == 0.0:
        raise InputError(
            "these states do not vary at all, so they have no covariance: give two examples of a "
            "side or more, that differ."
        )
    d = _ledoit_wolf(X, gram) if shrinkage is None else shrinkage
    if not 0 <= d <= 1:
        raise InputError(f"shrinkage is {d}; it must be between 0 and 1.")
    values, vectors = torch.linalg.eigh(gram)
    keep = values > values[-1] * max(N, n) * torch.finfo(X.dtype).eps
    values, vectors = values[keep].flip(0), vectors[:, keep].flip(1)
    basis = (X.mT @ vectors) / values.sqrt() if n > N else vectors
    floor = d * total / (N * n)
    return Covariance(basis, (1 - d) * values / N + floor, floor, d)


def _ledoit_wolf(X: Float[Tensor, "rows n"], gram: Float[Tensor, "m m"]) -> float:
    N, n = X.shape
    squared = float(gram.square().sum()) / N**2
    trace = float(gram.diagonal().sum()) / N
    fourth = float(X.square().sum(1).square().sum())
    noise = max(0.0, fourth / N - squared) / N
    away = squared - trace**2 / n
    return 1.0 if noise >= away else noise / away
