"""A reference that lies between what a token shows unsteered and a goal."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.setpoint import Relative


@dataclass(frozen=True)
class Toward(Relative):
    """`s_t = H_t' xbar_t + target (goal_t - H_t' xbar_t)`: part of the way to a goal.

    The units' `norm` is the goal, as the law observes it. At target 0 a token is left where it
    would have been, at 1 it is asked to be at the goal.
    """

    def repeated(self, times: int, device: torch.device) -> "Toward":
        """Each row's target for `times` rows."""
        return Toward(super().repeated(times, device).target)

    def joined(
        self, offset: Float[Tensor, "rows k"], nominal: Float[Tensor, "given k"] | None
    ) -> Float[Tensor, "rows k"]:
        """`(1 - target) nominal + target * goal_t`."""
        if nominal is not None:
            nominal = nominal * _column(1 - self.target)
        return super().joined(offset, nominal)


def _column(share: float | Float[Tensor, " rows"]) -> float | Float[Tensor, "rows 1"]:
    return share.unsqueeze(1) if isinstance(share, Tensor) else share
