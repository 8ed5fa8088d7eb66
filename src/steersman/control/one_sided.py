"""A feature set to a value, on one side of it or on both."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_pair
from steersman.control.law import Reads
from steersman.control.stateless import Stateless
from steersman.errors import InputError

Side = Literal["both", "below", "above"]


@dataclass(frozen=True, eq=False)
class ClampLaw(Stateless):
    """Set one feature: `v_t' (x + u) = s_t` where `v_t' p_t = 1`.

        e = s_t - v_t' x
        u = p_t e,   p_t max(e, 0) below,   p_t min(e, 0) above

    With `p_t = v_t / |v_t|^2` it is the shortest push that does so. On one side it is the shortest
    push into the half space `v_t' x >= s_t`, or `<= s_t`: a state that is there already is left
    alone, and none is ever pushed away from what is asked.

    Args:
        v: what is observed, `(blocks, n)`, float32 or float64.
        p: what is acted along, the same shape, dtype and device; zero at a block that never acts.
        side: which states are set: "both" sides of the setpoint, those "below" or those "above".
        reads: whether it sets what enters a block or what leaves it. Only the latter is exact.

    Raises:
        ShapeError: `v` and `p` are not two `(blocks, n)` tensors.
        InputError: half precision, two dtypes or devices, or no such side.
        NumericalError: NaN or infinity.
    """

    v: Float[Tensor, "blocks n"]
    p: Float[Tensor, "blocks n"]
    side: Side = "both"
    reads: Reads = "output"

    def __post_init__(self) -> None:
        """Check the two tensors and the side."""
        require_pair(self.v, self.p, "blocks", "n")
        if self.side not in get_args(Side):
            raise InputError(f"side is {self.side!r}; choose one of {', '.join(get_args(Side))}.")

    @property
    def actuator(self) -> Float[Tensor, "blocks n"]:
        """What is acted along: `p`."""
        return self.p

    @cached_property
    def _at(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """`v_t, p_t` of each block: views that are not made anew for every token."""
        return tuple(zip(self.v.unsqueeze(-1), self.p, strict=True))

    def observe(self, x: Float[Tensor, "rows n"], block: int) -> Float[Tensor, "rows k"]:
        """`v_t' x` for each row."""
        return x.to(self.dtype) @ self._at[block][0]

    def input(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """The push of each row."""
        return None, self._wanted(x, reference, block) * self._at[block][1]

    def added(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
        y: Float[Tensor, "rows n"],
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """The same, added to what comes out of the block."""
        return None, torch.addcmul(y, self._wanted(x, reference, block), self._at[block][1])

    def _wanted(
        self, x: Float[Tensor, "rows n"], reference: Float[Tensor, "rows k"], block: int
    ) -> Float[Tensor, "rows k"]:
        error = reference - x @ self._at[block][0]
        if self.side == "both":
            return error
        return error.clamp_min(0.0) if self.side == "below" else error.clamp_max(0.0)
