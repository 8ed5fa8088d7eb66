"""Rotation by an angle, wherever the state points."""

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from steersman.control.angular import AngularLaw


@dataclass(frozen=True, eq=False)
class TurnLaw(AngularLaw):
    """Turn the state's part in a plane by an angle.

        u = H_t (R(s_t) - I) H_t' x          s_t in radians, counterclockwise in the plane

    `x + u` is as long as `x`, and an angle of zero leaves every bit. Unlike `AngularLaw` with a
    relative reference, it turns from where the state points now, and not from where it would point
    unsteered.

    Args:
        H: two orthonormal columns a block, as there.
        until: as there.
        reads: whether it turns what enters a block or what leaves it.

    Source:
        Selective Steering, https://github.com/knoveleng/steering.
    """

    def _by(
        self, z: Complex[Tensor, "rows 1"], reference: Float[Tensor, "rows k"], block: int
    ) -> Float[Tensor, "rows 1"]:
        """By how much each row turns."""
        return self._where_short(reference, torch.angle(z), block)
