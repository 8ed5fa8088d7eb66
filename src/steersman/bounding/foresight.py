"""What is known of the errors of a prediction before any run, as numbers."""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from steersman.bounding.remainders import Reach
from steersman.control import Lyapunov, Remainder, error_bound


@dataclass(frozen=True, eq=False)
class Foresight:
    """How far errors carry, state by state; the plant itself is not needed any more.

    Args:
        scale: the feature's error were every block wrong by as much as the deviation it is given,
            natural units, as `Reach.scale`.
        counted: the states at which the prediction can err by more than rounding.
        state_radius: `rho_t >= |d_t|_{P_t}`; None where the plant has no matrices.
        radius: what that allows the feature, `|v_t|_{P_t^-1} rho_t`, natural units; None likewise.
        norms: the norms in which the loop contracts; None likewise, and after loading.
    """

    scale: Float[Tensor, " states"]
    counted: Bool[Tensor, " states"]
    state_radius: Float[Tensor, " states"] | None = None
    radius: Float[Tensor, " states"] | None = None
    norms: Lyapunov | None = None

    @classmethod
    def of(cls, reach: Reach, remainder: Remainder | None) -> "Foresight":
        """From how errors travel, and how large they are where they arise.

        Args:
            reach: the steering, how it is attached, and its plant.
            remainder: the largest parts of the remainder; None where the plant has no matrices.
        """
        norms, loop = reach.norms, reach.attachment.matrices
        if norms is None or remainder is None or loop is None:
            return cls(reach.scale, reach.counted)
        rho = error_bound(norms.gains(loop), remainder, norms.norms(reach.attachment.predicted))
        return cls(
            reach.scale, reach.counted, rho, norms.dual_norms(reach.attachment.scaled) * rho, norms
        )
