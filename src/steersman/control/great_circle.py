"""Rotation toward a direction along the great circle: the exponential map of the sphere."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_real
from steersman.control.law import Reads
from steersman.control.stateless import Stateless
from steersman.errors import InputError, ShapeError


@dataclass(frozen=True, eq=False)
class GreatCircleLaw(Stateless):
    """Turn each state by a share of its own angle to `v_t`, the shortest way, and keep its length.

        theta = angle(x, v_t),   w = unit(v_t - (v_t' x^) x^),   x^ = x / |x|
        x + u = |x| (cos(s theta) x^ + sin(s theta) w)

    `s = 0` leaves the state, `s = 1` turns it onto `v_t`, beyond 1 it goes past. What differs from
    `AngularLaw` is the plane: here that of the state and the direction, another for each state, so
    that everything else a state holds shrinks by one common factor. A state of length zero, or one
    along `v_t`, has no way to turn and stays; the one opposite to it has every way and stays too.

    Args:
        v: unit vectors, `(blocks, n)`, float32 or float64; a block with zeros never acts.
        reads: whether it turns what enters a block or what leaves it.

    Raises:
        ShapeError: `v` is not `(blocks, n)`.
        InputError: half precision, or a vector that is neither of length one nor zero.
        NumericalError: NaN or infinity.

    Source:
        IntSteer, https://github.com/cruiseresearchgroup/IntSteer.
    """

    v: Float[Tensor, "blocks n"]
    reads: Reads = "output"

    def __post_init__(self) -> None:
        """Check the vectors."""
        if self.v.ndim != 2 or 0 in self.v.shape:
            raise ShapeError(f"v has shape {tuple(self.v.shape)}; expected (blocks, n).")
        require_real("v", self.v)
        length = torch.linalg.vector_norm(self.v, dim=1)
        wrong = ((length - 1).abs() > 100 * torch.finfo(self.dtype).eps) & (length > 0)
        if bool(wrong.any()):
            block = int(wrong.nonzero()[0])
            raise InputError(
                f"v at block {block} has length {float(length[block]):.6g}; expected 1."
            )

    @property
    def actuator(self) -> Float[Tensor, "blocks n"]:
        """What is turned toward."""
        return self.v

    @cached_property
    def _towards(self) -> tuple[Tensor, ...]:
        return self.v.unbind(0)

    def input(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """`(cos(s theta) - 1) x + |x| sin(s theta) w` for each row."""
        v = self._towards[block]
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        unit = x / length.clamp_min(torch.finfo(self.dtype).tiny)
        cosine = unit @ v.unsqueeze(-1)
        across = v - cosine * unit
        sine = torch.linalg.vector_norm(across, dim=1, keepdim=True)
        # Of a difference that is all rounding there is no direction to be had.
        turns = sine > 10 * torch.finfo(self.dtype).eps
        w = torch.where(turns, across / sine.clamp_min(torch.finfo(self.dtype).tiny), 0.0)
        turn = torch.where(turns, reference * torch.atan2(sine, cosine), 0.0)
        half = torch.sin(turn / 2)
        return None, -2 * half * half * x + length * torch.sin(turn) * w
