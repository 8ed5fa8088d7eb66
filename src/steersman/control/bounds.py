"""How far a run can be from its linear prediction at most."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_shape
from steersman.errors import InputError, ShapeError


@dataclass(frozen=True, eq=False)
class Remainder:
    """What a linear plant leaves out of the true one, by how far a state is off its nominal.

        f_t(xbar + delta) - f_t(xbar) = A_t delta + w_t
        |w_t|  <=  D_t + min( M_t |delta| + (L_t / 2) |delta|^2 ,  R_t |delta| )

    `M_t` is the mismatch, where `A_t` is not this run's own Jacobian, `L_t` the curvature (the
    Lipschitz constant of that Jacobian), and `R_t` a sector that may hold both, smaller than their
    sum where one makes up for the other. `D_t` is what is there without any deviation. The norms
    are those of whoever asks: `|w_t|` at the output of block `t`, `|delta|` at its input.

    Args:
        mismatch: `M_t`, zero or above, `(blocks,)`.
        curvature: `L_t`, zero or above, `(blocks,)`.
        disturbance: `D_t`, zero or above; None is none.
        sector: `R_t`, zero or above; None is infinity.

    Raises:
        ShapeError: the four are not of one length.
        InputError: a number below zero, or NaN.

    Source:
        Khalil, Nonlinear Systems, chapter 9, for perturbations that vanish and that do not.
    """

    mismatch: Float[Tensor, " blocks"]
    curvature: Float[Tensor, " blocks"]
    disturbance: Float[Tensor, " blocks"] | None = None
    sector: Float[Tensor, " blocks"] | None = None

    def __post_init__(self) -> None:
        """Check lengths and signs."""
        for name, values in vars(self).items():
            if values is None:
                continue
            if values.ndim != 1 or len(values) != len(self.mismatch):
                raise ShapeError(
                    f"{name} has shape {tuple(values.shape)}; expected one number for each of "
                    f"{len(self.mismatch)} blocks."
                )
            if not bool((values >= 0).all()):
                raise InputError(f"{name} holds {float(values.min())}; it must be zero or above.")

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return len(self.mismatch)

    def at(self, block: int, size: Float[Tensor, "*rows"]) -> Float[Tensor, "*rows"]:
        """The most that `|w_t|` can be where `|delta|` is `size`, or less."""
        within = self.mismatch[block] * size + self.curvature[block] / 2 * size.square()
        if self.sector is not None:
            within = torch.minimum(within, self.sector[block] * size)
        return within if self.disturbance is None else within + self.disturbance[block]


def error_bound(
    gains: Float[Tensor, "states states"],
    remainder: Remainder,
    predicted: Float[Tensor, " states"],
    start: float = 0.0,
) -> Float[Tensor, " states"]:
    """How far the deviation of a run can be from its linear prediction, known beforehand.

        d = delta - delta^lin      d_{t+1} = Phi_t d_t + w_t      |delta_t| <= |delta^lin_t| + |d_t|

        rho_k = |Phi(k, 0)| |d_0| + sum_{i<k} |Phi(k, i+1)| w_i( |delta^lin_i| + rho_i )  >=  |d_k|

    with `w_i(.)` the remainder. `delta` is the steered state less the unsteered one of the same
    token, and `delta^lin` the plan, which is known before the model runs. The bound holds wherever
    the remainder is truly bounded; for a scalar loop of positive gains and a remainder of one sign
    it is the error itself. With `predicted = 0` and a `start` it is the distance from a trajectory
    that is tracked.

    Args:
        gains: `|Phi(k, i)|`, `(to, from)`, as `Lyapunov.gains` gives them.
        remainder: a bound of `|w_t|`, in the same norms.
        predicted: `|delta^lin_t|`, in the same norms.
        start: `|d_0|`.

    Returns:
        `rho_0 .. rho_T`; infinity where nothing bounds the error any more.

    Raises:
        ShapeError: the three do not belong together.

    Source:
        A-LQR (arXiv 2604.19018), Theorem 4.2, there with the deviation of the evaluated run itself
        on the right.
    """
    states = remainder.blocks + 1
    require_shape("gains", gains, ("to", states), ("from", states))
    require_shape("predicted", predicted, ("states", states))
    rho = [gains.new_tensor(start)]
    left: list[Tensor] = []
    for k in range(1, states):
        left.append(remainder.at(k - 1, predicted[k - 1].to(gains) + rho[k - 1]).to(gains))
        reach = gains[k, 1 : k + 1] @ torch.stack(left) + gains[k, 0] * start
        rho.append(reach.nan_to_num(nan=torch.inf, posinf=torch.inf))
    return torch.stack(rho)
