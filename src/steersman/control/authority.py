"""What each block can do about a feature, and how much of it survives to the end."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_finite, require_shape
from steersman.control.effort import Effort
from steersman.control.sensitivity import sensitivities
from steersman.control.system import Plant
from steersman.errors import InputError


class AuthorityRow(NamedTuple):
    """What a report says about one block.

    Attributes:
        block: `t`.
        effort: the least effort at this block alone that moves the final feature by one unit;
            infinite where it cannot.
        share: of that of all blocks together: 1 where this block alone is as good as all.
        survives: how much of one unit of the feature at the block's input is left after the last
            block, in units.
        aligned: the cosine of what the final feature reads of that state with the feature there.
    """

    block: int
    effort: float
    share: float
    survives: float
    aligned: float


@dataclass(frozen=True, eq=False)
class Authority:
    """Controllability and observability of one feature, in units of that feature.

        a_t = Phi(T, t)' v_T                     what the final feature reads of x_t
        effort_t   = unit_T / |R_t^{-1/2} B_t' a_{t+1}|
        together   = unit_T / sqrt( sum_t |R_t^{-1/2} B_t' a_{t+1}|^2 )
        survives_t = a_t' v_t unit_t / unit_T     aligned_t = a_t' v_t / |a_t|

    A block with a small effort is where to act. A feature that survives with 1 is carried to the
    end as it is; one near 0 is overwritten; an alignment near 0 says that what decides the final
    feature is, at that state, not the feature.

    Args:
        effort: `(blocks,)`, in the units of the input's cost; infinite where a block has none.
        together: the least effort of all blocks.
        survives: `(states,)`; NaN at a state without direction.
        aligned: `(states,)`; NaN likewise.
    """

    effort: Float[Tensor, " blocks"]
    together: float
    survives: Float[Tensor, " states"]
    aligned: Float[Tensor, " states"]

    def rows(self) -> list[AuthorityRow]:
        """One row a block."""
        share = (self.together / self.effort).square()
        columns = (self.effort, share, self.survives[:-1], self.aligned[:-1])
        numbers = zip(*(column.tolist() for column in columns), strict=True)
        return [AuthorityRow(block, *row) for block, row in enumerate(numbers)]

    def table(self) -> str:
        """A few lines for a person."""
        lines = ["block   effort for one unit   share   survives   aligned"]
        for row in self.rows():
            lines.append(
                f"{row.block:5d}   {_said(row.effort):>19}   {row.share:5.2f}   "
                f"{_said(row.survives):>8}   {_said(row.aligned):>7}"
            )
        lines.append(f"all     {_said(self.together):>19}")
        return "\n".join(lines)


def authority(
    plant: Plant, v: Float[Tensor, "states n"], unit: Float[Tensor, " states"], effort: Effort
) -> Authority:
    """Which block can move the feature after the last one, at what effort.

    The plant is asked for `T` products `A_t' w` with one column.

    Args:
        plant: the blocks, or a closed loop.
        v: the feature's directions at `x_0 .. x_T`.
        unit: what one unit of it is worth at each of them; that of `x_T` above zero.
        effort: the actuators and their weights.

    Raises:
        ShapeError: parts of another plant.
        InputError: no unit or no direction after the last block.
        NumericalError: NaN or infinity.
    """
    states = plant.blocks + 1
    require_shape("v", v, ("states", states), ("n", plant.n))
    require_shape("unit", unit, ("states", states))
    require_finite("unit", unit)
    effort.require_fit(plant.blocks, plant.n)
    if not (float(unit[-1]) > 0 and bool(v[-1].any())):
        raise InputError("the feature has no direction or no unit after the last block.")
    last = torch.zeros_like(v)
    last[-1] = v[-1]
    reads = sensitivities(plant.vjp, last.unsqueeze(-1))[:, -1, :, 0]
    felt = torch.stack([effort.sense(t, reads[t + 1, :, None]).norm() for t in range(plant.blocks)])
    seen = (reads * v).sum(dim=1).where(v.any(dim=1), torch.nan)
    return Authority(
        effort=unit[-1].to(felt) / felt,
        together=float(unit[-1].to(felt) / felt.norm()),
        survives=seen * unit.to(seen) / unit[-1],
        aligned=seen / reads.norm(dim=1),
    )


def controllability(
    S: Float[Tensor, "states states n k"], effort: Effort
) -> Float[Tensor, "blocks k k"]:
    """The controllability Gramian seen by the features of the last state, block by block.

        C_t = V_T' Phi(T, t+1) B_t R_t^-1 B_t' Phi(T, t+1)' V_T

    Their sum `C` is the Gramian itself between the features: the least effort that moves them by
    `y` is `y' C^-1 y`, and `y' C_t^-1 y` where block `t` acts alone.

    Args:
        S: as `sensitivities` gives them.
        effort: the actuators and their weights.

    Raises:
        ShapeError: `effort` belongs to another plant.

    Source:
        Kailath, Linear Systems, chapter 9.
    """
    blocks = S.shape[0] - 1
    effort.require_fit(blocks, S.shape[2])
    normal = [effort.sense(t, S[t + 1, -1]) for t in range(blocks)]
    return torch.stack([N.mT @ N for N in normal])


def observability(S: Float[Tensor, "states states n k"]) -> Float[Tensor, "states k k"]:
    """The observability Gramian between the features of each state.

        O_t = V_t' ( sum_{s>=t} Phi(s, t)' V_s V_s' Phi(s, t) ) V_t

    `y' O_t y` is the energy that the features show from `x_t` on, `sum_s |V_s' x_s|^2`, where
    `x_t = V_t y` is left to itself.

    Args:
        S: as `sensitivities` gives them.

    Source:
        Kailath, Linear Systems, chapter 9.
    """
    states = S.shape[0]
    own = S[range(states), range(states)]
    shown = torch.einsum("tsnk,tnj->tskj", S, own)
    return torch.einsum("tski,tskj->tij", shown, shown)


def _said(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "-"
