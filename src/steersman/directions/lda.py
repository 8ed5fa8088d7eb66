"""Linear discriminant analysis, each side's covariance shrunk in standardised coordinates."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.directions.boundary import Boundary
from steersman.directions.covariance import shrunk_covariance
from steersman.directions.observer import Observer, centred, require_several
from steersman.errors import NumericalError


@dataclass(frozen=True)
class LinearDiscriminant(Observer):
    """`w = S^-1 c`: the most likely side, for normal states that vary alike on both sides.

        S = sum_k (N_k/N) D_k ((1 - d_k) Z_k'Z_k/N_k + d_k m_k I) D_k,    m_k = tr(Z_k'Z_k/N_k) / n
        b = -(mean desired + mean undesired)' w / 2 + log(N_d / N_u)

    `Z_k` are the states of side `k` minus their mean in units of its standard deviations `D_k`,
    `d_k` the shrinkage of Ledoit and Wolf there. `whitened` shrinks the states as they are, both
    sides together: a coordinate of large values then rules how far the others are shrunk.

    A diagonal plus as many directions as there are examples, so no matrix of the states' width is
    made where there are fewer examples than coordinates.

    Source:
        Fisher (1936); Ledoit and Wolf (2004); as scikit-learn's LinearDiscriminantAnalysis with
        shrinkage="auto", which it equals.
    """

    @property
    def name(self) -> str:
        """The name of this rule."""
        return "lda"

    def read(
        self, desired: Float[Tensor, "desired n"], undesired: Float[Tensor, "undesired n"]
    ) -> Float[Tensor, " n"]:
        """`w`; the contrast where states vary within no side.

        Raises:
            InputError: one example of each side.
            NumericalError: the shrunk covariance is singular.
        """
        return self.fit(desired, undesired).weights

    def fit(
        self, desired: Float[Tensor, "desired n"], undesired: Float[Tensor, "undesired n"]
    ) -> Boundary:
        """The classifier with its bias.

        Args:
            desired: states of the desired examples, float64.
            undesired: of the undesired ones.

        Raises:
            InputError: one example of each side.
            NumericalError: the shrunk covariance is singular.
        """
        require_several(desired, undesired, self.name)
        total, means = len(desired) + len(undesired), (desired.mean(0), undesired.mean(0))
        parts = [_spread(side, len(side) / total) for side in (desired, undesired)]
        c, middle = means[0] - means[1], (means[0] + means[1]) / 2
        diagonal = parts[0].diagonal + parts[1].diagonal
        factor = torch.cat([part.factor for part in parts], 1)
        w = _solved(diagonal, factor, c) if factor.shape[1] else c
        return Boundary(w, float(-middle @ w) + math.log(len(desired) / len(undesired)))


class _Spread(NamedTuple):
    """One side's share of the covariance, `diag(diagonal) + factor factor'`."""

    diagonal: Float[Tensor, " n"]
    factor: Float[Tensor, "n r"]


def _spread(side: Tensor, weight: float) -> _Spread:
    X = centred(side)
    deviation = X.square().mean(0).sqrt()
    # A coordinate that does not vary counts in its own units, not in units of nothing.
    deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
    if not bool(X.any()):
        return _Spread(torch.zeros_like(deviation), X.mT[:, :0])
    found = shrunk_covariance(X / deviation)
    factor = found.basis * (found.values - found.floor).clamp_min(0).sqrt()
    return _Spread(
        weight * found.floor * deviation.square(),
        weight**0.5 * deviation.unsqueeze(1) * factor,
    )


def _solved(
    diagonal: Float[Tensor, " n"], factor: Float[Tensor, "n r"], c: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """`(diag(diagonal) + F F')^-1 c` through the smaller of the two sizes."""
    if factor.shape[1] >= len(c) or not bool((diagonal > 0).all()):
        return _divided(diagonal.diag() + factor @ factor.mT, c)
    apart = factor / diagonal.unsqueeze(1)
    inner = torch.eye(factor.shape[1]).to(factor) + factor.mT @ apart
    return c / diagonal - apart @ _divided(inner, apart.mT @ c)


def _divided(matrix: Float[Tensor, "m m"], c: Float[Tensor, " m"]) -> Float[Tensor, " m"]:
    root, failed = torch.linalg.cholesky_ex(matrix)
    if int(failed):
        raise NumericalError(
            "the covariance of these states is singular even when it is shrunk: give more examples."
        )
    return torch.cholesky_solve(c.unsqueeze(1), root).squeeze(1)
