"""A reference that lies between what a token shows unsteered and a goal."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from steersman.control.setpoint import Relative


@dataclass(frozen=True)
class Toward(Relative):
    """`s_t = H_t' xbar_t + target (goal_t - H_t' xbar_t)`: part of the way to a goal.

    The units' `norm` is the goal, as the law observes it. At target 0 a token is left where it
    would have been, at 1 it is asked to be at the goal, where the feature is 1 in natural units.
    """

    def joined(
        self, offset: Float[Tensor, "rows k"], nominal: Float[Tensor, "given k"] | None
    ) -> Float[Tensor, "rows k"]:
        """`(1 - target) nominal + target * goal_t`."""
        left = 1 - self.target
        if nominal is not None:
            nominal = nominal * (left.reshape(-1, 1) if isinstance(left, Tensor) else left)
        return super().joined(offset, nominal)

    def missed(
        self, reached: Float[Tensor, "rows features"], start: Float[Tensor, "rows features"] | None
    ) -> Float[Tensor, "rows features"]:
        """`start + target (1 - start) - reached`."""
        whole = super().missed(reached, start)
        target = self.target
        if start is None:
            return whole
        return whole - start * (target.reshape(-1, 1) if isinstance(target, Tensor) else target)
