"""The probe: logistic regression with a ridge chosen by cross-validation."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import softplus

from steersman.directions.observer import Observer, centred, require_several
from steersman.errors import InputError

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
FOLDS = 5
STEPS = 50
EXACT, ROUGH = 1e-20, 1e-8
"""Where Newton's method stops, by its estimate of twice the loss that is left."""


@dataclass(frozen=True)
class Probe(Observer):
    """`v` of the logistic regression of the side on the state.

        minimise  mean_i log(1 + exp(-y_i (v'x_i + b))) + ridge/2 s^2 |v|^2

    `s^2` is the mean square length of the states around their mean, so that a ridge means the same
    for every model. The intercept is not penalised. Solved by Newton's method in the span of the
    examples; the ridge is the one with the least loss on examples left out, and examples `i` of two
    equally large sides are left out together.

    Args:
        ridge: above zero; None chooses one of `RIDGES`.

    Raises:
        InputError: a ridge that is not above zero.

    Source:
        Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, section 4.4.
    """

    ridge: float | None = None

    def __post_init__(self) -> None:
        """Check the ridge."""
        if self.ridge is not None and not self.ridge > 0:
            raise InputError(f"ridge is {self.ridge}; it must be above zero.")

    @property
    def name(self) -> str:
        """The name of this rule."""
        return "probe" if self.ridge is None else f"probe:{self.ridge:g}"

    def read(
        self, desired: Float[Tensor, "desired n"], undesired: Float[Tensor, "undesired n"]
    ) -> Float[Tensor, " n"]:
        """The direction of the probe; the contrast's where all examples of a side are the same.

        Raises:
            InputError: one example of each side.
        """
        require_several(desired, undesired, self.name)
        x = torch.cat([desired, undesired])
        y = torch.ones(len(x), dtype=x.dtype)
        y[len(desired) :] = -1
        ridge = self.ridge or _chosen(x, y, folds_of(len(desired), len(undesired)))
        return fit_logistic(x, y, (ridge,))[0][0]


def fit_logistic(
    x: Float[Tensor, "rows n"],
    y: Float[Tensor, " rows"],
    ridges: Sequence[float],
    tolerance: float = EXACT,
) -> tuple[Float[Tensor, "ridges n"], Float[Tensor, " ridges"]]:
    """Ridge logistic regression for one ridge after another.

        minimise  mean_i log(1 + exp(-y_i (v'x_i + b))) + ridge/2 s^2 |v|^2

    Args:
        x: states, float64.
        y: 1 or -1 for each.
        ridges: above zero; each starts where the last one ended.
        tolerance: of the loss.

    Returns:
        `v` and `b` of each ridge; zeros and the log odds where all states are the same.
    """
    mean, X = x.mean(0), centred(x)
    length = X.square().sum(1).mean().sqrt()
    scale = torch.where(length > 0, length, torch.ones_like(length))
    dual = len(X) < X.shape[1]
    values, vectors = torch.linalg.eigh(X @ X.mT if dual else X.mT @ X)
    keep = values > values[-1] * max(X.shape) * torch.finfo(X.dtype).eps
    basis = X.mT @ vectors[:, keep] / values[keep].sqrt() if dual else vectors[:, keep]
    seen = torch.cat([X @ basis / scale, torch.ones_like(X[:, :1])], 1)
    theta = torch.zeros_like(seen[0])
    v, b = [], []
    for ridge in ridges:
        theta = _newton(seen, y, ridge, theta, tolerance)
        v.append(basis @ theta[:-1] / scale)
        b.append(theta[-1] - v[-1] @ mean)
    return torch.stack(v), torch.stack(b)


def _newton(
    seen: Float[Tensor, "rows r"],
    y: Float[Tensor, " rows"],
    ridge: float,
    start: Float[Tensor, " r"],
    tolerance: float,
) -> Float[Tensor, " r"]:
    """Newton's method with step halving; the last coordinate is the intercept."""
    penalty = torch.full_like(start, ridge)
    penalty[-1] = 0

    def loss(theta: Tensor) -> Tensor:
        return softplus(-y * (seen @ theta)).mean() + (penalty * theta.square()).sum() / 2

    theta, value = start, loss(start)
    for _ in range(STEPS):
        p = torch.sigmoid(-y * (seen @ theta))
        gradient = -(seen.mT @ (y * p)) / len(y) + penalty * theta
        curvature = seen.mT @ ((p * (1 - p) / len(y)).unsqueeze(1) * seen) + penalty.diag()
        # Where the sides are far apart nothing of the intercept is left in the curvature.
        curvature.diagonal().add_(1e-14)
        step = torch.linalg.solve(curvature, gradient)
        if float(gradient @ step) < tolerance:
            break
        found = loss(theta - step)
        while found > value and float(step.abs().max()) > 1e-12:
            step = step / 2
            found = loss(theta - step)
        theta, value = theta - step, found
    return theta


def _chosen(
    x: Float[Tensor, "rows n"], y: Float[Tensor, " rows"], fold: Int[Tensor, " rows"]
) -> float:
    """The ridge with the least loss on examples left out; the largest where none can be."""
    folds = int(fold.max()) + 1
    if folds < 2:
        return RIDGES[-1]
    # The largest first: the next one starts near its end.
    ridges = sorted(RIDGES, reverse=True)
    lost = torch.zeros(len(ridges), dtype=x.dtype)
    for index in range(folds):
        test = fold == index
        v, b = fit_logistic(x[~test], y[~test], ridges, ROUGH)
        lost += softplus(-y[test] * (x[test] @ v.mT + b).mT).sum(1)
    return ridges[int(lost.argmin())]


def folds_of(desired: int, undesired: int) -> Int[Tensor, " rows"]:
    """Which part each example is left out with; every part's rest has examples of both sides.

    Args:
        desired: how many examples of that side, the first ones; at least two.
        undesired: of the other. Examples `i` of two equally large sides are left out together.
    """
    folds = min(FOLDS, desired, undesired)
    order = (
        torch.randperm(count, generator=torch.Generator().manual_seed(0))
        for count in (desired, undesired)
    )
    return torch.cat([numbers % folds for numbers in order])
