"""A linear classifier of states, and where a feature has to be for it to be so sure."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.errors import InputError


@dataclass(frozen=True, eq=False)
class Boundary:
    """`p(desired | x) = sigma(w'x + b)`.

    Args:
        weights: `w`, `(n,)`.
        bias: `b`.
    """

    weights: Float[Tensor, " n"]
    bias: float

    @property
    def direction(self) -> Float[Tensor, " n"]:
        """`v = w / |w|`; zero where the classifier knows nothing."""
        return torch.nn.functional.normalize(self.weights, dim=-1)

    def probability(self, x: Float[Tensor, "rows n"]) -> Float[Tensor, " rows"]:
        """Of each state, how likely it is one of a desired example."""
        return torch.sigmoid(x @ self.weights + self.bias)

    def setpoint(self, probability: float) -> float:
        """`v'x` at which the probability is this: `(logit p - b) / |w|`.

        Args:
            probability: above 0 and below 1.

        Returns:
            In units of the residual stream.

        Raises:
            InputError: the probability cannot be, or the classifier knows nothing.
        """
        if not 0 < probability < 1:
            raise InputError(f"probability is {probability}; give one above 0 and below 1.")
        length = float(self.weights.norm())
        if length == 0:
            raise InputError("this classifier has no weights, so no state is likelier than another")
        return (math.log(probability / (1 - probability)) - self.bias) / length

    def target(self, probability: float, *, norm: float, origin: float) -> float:
        """The same setpoint as an absolute target, in natural units of a feature along `v`.

        Args:
            probability: above 0 and below 1.
            norm: one unit of the feature, `Direction.norm` at this state.
            origin: where undesired examples are, `Direction.origin` at this state.

        Raises:
            InputError: the probability cannot be, or there is no unit.
        """
        if not norm > 0:
            raise InputError("there is no contrast at this state, so no unit: choose another one.")
        return (self.setpoint(probability) - origin) / norm
