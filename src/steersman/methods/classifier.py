"""A classifier of states as a barrier: logistic regression in the features of a kernel."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import log, nan
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize, softplus

from steersman.control import LinearBarrier, QuadraticBarrier, Sketch, SketchBarrier, UnitBarrier
from steersman.directions import fit_logistic, fold_numbers
from steersman.errors import InputError, NumericalError

ROUNDING = 1e-24
"""Below this share of their mean square, features do not differ."""
MOST = 256
"""From so many examples of a side the length of the flow is found, at most."""


class Kernel(ABC):
    """What a classifier sees of two unit-norm states: `k(a, c) = phi(a)'phi(c)`."""

    @abstractmethod
    def gram(self, a: Float[Tensor, "rows n"]) -> Float[Tensor, "rows rows"]:
        """`k` of every two rows."""

    @abstractmethod
    def barrier(
        self,
        a: Float[Tensor, "rows n"],
        weights: Float[Tensor, " rows"],
        b: Float[Tensor, ""],
    ) -> UnitBarrier:
        """`g(a) = sum_i weights_i k(a, a_i) + b`, in a form whose size the examples do not decide.

        Args:
            a: the states that were learnt from.
            weights: of each.
            b: the constant.
        """


class Linear(Kernel):
    """`k(a, c) = a'c`."""

    def gram(self, a: Float[Tensor, "rows n"]) -> Float[Tensor, "rows rows"]:
        """Their products."""
        return a @ a.mT

    def barrier(
        self,
        a: Float[Tensor, "rows n"],
        weights: Float[Tensor, " rows"],
        b: Float[Tensor, ""],
    ) -> LinearBarrier:
        """One direction."""
        return LinearBarrier(weights @ a, b)


@dataclass(frozen=True)
class Quadratic(Kernel):
    """`k(a, c) = (gamma a'c + coef0)^2`, exactly."""

    gamma: float
    coef0: float

    def gram(self, a: Float[Tensor, "rows n"]) -> Float[Tensor, "rows rows"]:
        """The kernel of every two rows."""
        return (self.gamma * a @ a.mT + self.coef0).square()

    def barrier(
        self,
        a: Float[Tensor, "rows n"],
        weights: Float[Tensor, " rows"],
        b: Float[Tensor, ""],
    ) -> QuadraticBarrier:
        """The weighted sum of kernels, multiplied out."""
        return QuadraticBarrier.of_kernel(a, weights, b, self.gamma, self.coef0)


@dataclass(frozen=True, eq=False)
class Sketched(Kernel):
    """`k(a, c) = phi(a)'phi(c)` of a count sketch."""

    sketch: Sketch

    def gram(self, a: Float[Tensor, "rows n"]) -> Float[Tensor, "rows rows"]:
        """Products of the features."""
        features = self.sketch(a)
        return features @ features.mT

    def barrier(
        self,
        a: Float[Tensor, "rows n"],
        weights: Float[Tensor, " rows"],
        b: Float[Tensor, ""],
    ) -> SketchBarrier:
        """A weight for each feature."""
        return SketchBarrier(self.sketch, weights @ self.sketch(a), b)


class Unseen(NamedTuple):
    """What a classifier says of examples that it was not learnt from.

    Attributes:
        accuracy: the share on the right side of zero, both sides counting alike.
        se: its standard error.
        d: how far apart the two sides' values are, in standard deviations within a side; NaN where
            there is none.
        loss: the mean of `log(1 + exp(-+ h))`, both sides counting alike.
    """

    accuracy: float
    se: float
    d: float
    loss: float


@dataclass(frozen=True, eq=False)
class Examples:
    """Both sides' states after one block as a classifier learns from them.

    With `Z` the features of the examples in their own span, the regression is

        minimise  1/2 |w|^2 + C sum_i log(1 + exp(-y_i (w'z_i + b)))

    and the barrier `h = w'z + b + log(N_u / N_d)`: what is said of a state if neither side were
    commoner than the other.

    Args:
        kernel: what is seen of the states.
        desired: states of that side.
        undesired: of the other.
        C: how much the examples count against the length of the weights.

    Raises:
        InputError: a side with less than two examples, or `C` not above zero.
    """

    kernel: Kernel
    desired: Float[Tensor, "desired n"]
    undesired: Float[Tensor, "undesired n"]
    C: float = 1.0

    def __post_init__(self) -> None:
        """Check what there is to learn from."""
        if min(len(self.desired), len(self.undesired)) < 2:
            raise InputError("a classifier needs two examples of each side; give more.")
        if not self.C > 0:
            raise InputError(f"C is {self.C}; it must be above zero.")

    @property
    def _y(self) -> Float[Tensor, " rows"]:
        y = torch.ones(len(self.desired) + len(self.undesired), dtype=torch.float64)
        y[len(self.desired) :] = -1
        return y

    def barrier(self) -> UnitBarrier:
        """The barrier of all examples, float64."""
        a = normalize(torch.cat([self.desired, self.undesired]).double(), dim=1)
        values, vectors = _spanned(self.kernel.gram(a))
        v, b = _regression(vectors * values.sqrt(), self._y, self.C)
        return self.kernel.barrier(a, vectors @ (v / values.sqrt()), b)

    def unseen(self) -> Unseen:
        """What is said of examples that are left out, a fifth at a time; pairs leave together."""
        a = normalize(torch.cat([self.desired, self.undesired]).double(), dim=1)
        values, vectors = _spanned(self.kernel.gram(a))
        Z, y, h = vectors * values.sqrt(), self._y, torch.zeros(len(a), dtype=torch.float64)
        fold = fold_numbers(len(self.desired), len(self.undesired))
        for index in range(int(fold.max()) + 1):
            test = fold == index
            v, b = _regression(Z[~test], y[~test], self.C)
            h[test] = Z[test] @ v + b
        return _told(h[: len(self.desired)], h[len(self.desired) :])


def length_to_desired(
    flow: Callable[[Float[Tensor, "rows n"], float], Float[Tensor, "rows n"]],
    barrier: UnitBarrier,
    desired: Float[Tensor, "desired n"],
    undesired: Float[Tensor, "undesired n"],
    start: float,
) -> float:
    """How far undesired states have to flow for their mean barrier to be the desired ones'.

        T*:  mean h(x(T*)) over the undesired = mean h(x) over the desired

    Args:
        flow: where states get to on a path of so much length.
        barrier: `h`.
        desired: states of that side.
        undesired: of the other.
        start: a length to look from, such as a part of the states' own.

    Returns:
        The length, in the units of the states.

    Raises:
        NumericalError: no length leads there.
    """
    start_at = undesired[:MOST].to(barrier.dtype)
    goal = float(barrier.value(desired[:MOST].to(barrier.dtype)).mean())

    def short(length: float) -> bool:
        return float(barrier.value(flow(start_at, length)).mean()) < goal

    low, high = 0.0, start
    for _ in range(12):
        if not short(high):
            break
        low, high = high, 2 * high
    else:
        raise NumericalError(
            "the flow never looks as desired as the desired examples do: take more steps, "
            "solver='rk4', or a length of your own with unit='norm'."
        )
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if short(middle) else (low, middle)
    return high


def _spanned(gram: Float[Tensor, "rows rows"]) -> tuple[Tensor, Tensor]:
    """Eigenvalues and vectors of a Gram matrix that are more than rounding."""
    values, vectors = torch.linalg.eigh(gram)
    keep = values > values[-1] * len(gram) * torch.finfo(gram.dtype).eps
    return values[keep], vectors[:, keep]


def _regression(
    Z: Float[Tensor, "rows r"], y: Float[Tensor, " rows"], C: float
) -> tuple[Float[Tensor, " r"], Float[Tensor, ""]]:
    """Weights, and the constant without the odds of the two sides."""
    square = float((Z - Z.mean(0)).square().sum(1).mean())
    if square <= ROUNDING * float(Z.square().sum(1).mean()):
        raise InputError("all examples have the same state after this block.")
    v, b = fit_logistic(Z, y, (1 / (C * len(Z) * square),))
    desired = int((y > 0).sum())
    return v[0], b[0] + log((len(y) - desired) / desired)


def _told(desired: Float[Tensor, " desired"], undesired: Float[Tensor, " undesired"]) -> Unseen:
    right = [(desired > 0).double(), (undesired < 0).double()]
    shares = [float(one.mean()) for one in right]
    spread = sum(float(one.var()) / len(one) for one in right)
    within = (desired.var() + undesired.var()) / 2
    d = float((desired.mean() - undesired.mean()) / within.sqrt()) if float(within) > 0 else nan
    loss = float(softplus(-desired).mean() + softplus(undesired).mean()) / 2
    return Unseen(sum(shares) / 2, spread**0.5 / 2, d, loss)
