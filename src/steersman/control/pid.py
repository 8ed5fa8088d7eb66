"""Proportional, integral and derivative feedback of one feature, over depth."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from steersman.control.checks import require_blocks, require_finite, require_real, require_shape
from steersman.control.law import Law
from steersman.errors import InputError, ShapeError


class PIDState(NamedTuple):
    """What a row has seen on its way through the blocks.

    Attributes:
        integral: the sum of its errors.
        previous: the last of them; None before the first block that acts.
        held_back: whether its last input was shortened; None where there is no cap.
    """

    integral: Float[Tensor, "rows 1"]
    previous: Float[Tensor, "rows 1"] | None
    held_back: Bool[Tensor, " rows"] | None = None


@dataclass(frozen=True, eq=False)
class PIDLaw(Law[PIDState]):
    """A controller in depth: the integral and the derivative are those of one token's errors.

        e_t = s_t - v_t' x_t
        u_t = (kp e_t + ki sum_{i<=t} e_i + kd (e_t - e_{t-1})) p_t

    Both start anew with every forward pass and belong to each row alone. Where `cap` is given,
    `|u_t| <= cap |x_t|`, and the integral of a row waits while its input is held back (anti-windup
    by conditional integration), so that it does not pile up errors that nothing could act on.

    Args:
        v: what is observed, `(blocks, n)`, float32 or float64.
        kp: gain of the error.
        ki: gain of its sum.
        kd: gain of its difference; zero at the first block that acts.
        cap: the longest input relative to the state; None is no cap.
        active: the blocks where it acts; None is every block.
        p: what is acted along, like `v`; None is `v` itself.

    Raises:
        ShapeError: `v` is not `(blocks, n)`, or `p` is not like it.
        InputError: half precision, a cap that is not above zero, no gain at all, or an active block
            that does not exist.
        NumericalError: NaN or infinity.

    Source:
        Astrom and Murray, Feedback Systems, chapter 11, for conditional integration.
    """

    v: Float[Tensor, "blocks n"]
    kp: float
    ki: float = 0.0
    kd: float = 0.0
    cap: float | None = None
    active: tuple[int, ...] | None = None
    p: Float[Tensor, "blocks n"] | None = None

    def __post_init__(self) -> None:
        """Check the direction and the numbers."""
        if self.v.ndim != 2 or 0 in self.v.shape:
            raise ShapeError(f"v has shape {tuple(self.v.shape)}; expected (blocks, n).")
        require_real("v", self.v)
        require_finite("gains", torch.tensor([self.kp, self.ki, self.kd]))
        if not (self.kp or self.ki or self.kd):
            raise InputError("kp, ki and kd are all zero: nothing would be done.")
        if self.cap is not None and not self.cap > 0:
            raise InputError(f"cap is {self.cap}; it must be above zero, or None for no cap.")
        require_blocks(self.active, self.blocks)
        if self.p is not None:
            require_shape("p", self.p, ("blocks", self.blocks), ("n", self.n))
            require_real("p", self.p)

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return self.v.shape[0]

    @property
    def n(self) -> int:
        """The width of the state."""
        return self.v.shape[1]

    @property
    def k(self) -> int:
        """One number is observed."""
        return 1

    @property
    def dtype(self) -> torch.dtype:
        """The precision of `v`."""
        return self.v.dtype

    def is_active(self, block: int) -> bool:
        """Whether the law acts at `block`."""
        return super().is_active(block) and (self.active is None or block in self.active)

    def to(self, device: torch.device | str) -> "PIDLaw":
        """The same law on another device, in the same precision."""
        p = None if self.p is None else self.p.to(device)
        return replace(self, v=self.v.to(device), p=p)

    def init(self, rows: int) -> PIDState:
        """No error yet."""
        return PIDState(self.v.new_zeros(rows, 1), None)

    def held_back(self, state: PIDState) -> Bool[Tensor, " rows"] | None:
        """The rows whose last input the cap made shorter."""
        return state.held_back

    def observe(self, x: Float[Tensor, "rows n"], block: int) -> Float[Tensor, "rows k"]:
        """`v_t' x` for each row."""
        return x.to(self.dtype) @ self._observed[block]

    def input(
        self,
        state: PIDState,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[PIDState, Float[Tensor, "rows n"]]:
        """The errors' sum and difference moved on by one block, and the input."""
        state, given = self._asked(state, x, reference, block)
        return state, given * self._along[block]

    def added(
        self,
        state: PIDState,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
        y: Float[Tensor, "rows n"],
    ) -> tuple[PIDState, Float[Tensor, "rows n"]]:
        """The same, added to what comes out of the block."""
        state, given = self._asked(state, x, reference, block)
        return state, torch.addcmul(y, given, self._along[block])

    def _asked(
        self,
        state: PIDState,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows 1"],
        block: int,
    ) -> tuple[PIDState, Float[Tensor, "rows 1"]]:
        """The next state, and how much of `p_t` is added."""
        error = reference - x @ self._observed[block]
        integral = state.integral.to(error) + error
        wanted = self.kp * error
        if self.ki:
            wanted = torch.add(wanted, integral, alpha=self.ki)
        if self.kd and state.previous is not None:
            wanted = wanted + self.kd * (error - state.previous)
        if self.cap is None:
            return PIDState(integral, error), wanted
        given = self._held(wanted, self.cap, x, block)
        short = given != wanted
        waits = short & (wanted * error * self.ki > 0)
        kept = torch.where(waits, state.integral.to(error), integral)
        return PIDState(kept, error, short[:, 0]), given

    @cached_property
    def _along(self) -> tuple[Tensor, ...]:
        """What is added for one unit at each block: views that are not made anew every token."""
        return (self.v if self.p is None else self.p).unbind(0)

    @cached_property
    def _observed(self) -> tuple[Tensor, ...]:
        return self.v.unsqueeze(-1).unbind(0)

    def _held(
        self, wanted: Float[Tensor, "rows 1"], cap: float, x: Float[Tensor, "rows n"], block: int
    ) -> Float[Tensor, "rows 1"]:
        most = cap * torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        # A state without contrast has v = 0, and any number of it is as long as none.
        length = torch.linalg.vector_norm(self._along[block])
        return wanted.clamp(-most / length, most / length) if bool(length) else wanted
