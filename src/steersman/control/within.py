"""A predicate on the state: a law that acts on some states and leaves the others alone."""

from dataclasses import dataclass
from functools import cached_property
from typing import Generic

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from steersman.control.around import Around
from steersman.control.checks import require_real, require_shape
from steersman.control.law import Law, State
from steersman.errors import InputError


@dataclass(frozen=True, eq=False)
class Within(Around[State], Generic[State]):
    """Another law, where `low_t < w_t' x < high_t` and nowhere else.

    `x` is what the law reads, its projection is taken in the law's precision. The bounds belong to
    the state outside: a state on a bound is left alone.

    Args:
        law: the law.
        w: what the predicate observes, `(blocks, n)`, the law's dtype.
        low: the lower bound of each block, `(blocks,)`; minus infinity is none.
        high: the upper one; infinity is none.

    Raises:
        ShapeError: the tensors do not fit the law.
        InputError: half precision, or a bound that is not a number.
        NumericalError: NaN or infinity in `w`.
    """

    law: Law[State]
    w: Float[Tensor, "blocks n"]
    low: Float[Tensor, " blocks"]
    high: Float[Tensor, " blocks"]

    def __post_init__(self) -> None:
        """Check that the predicate fits the law."""
        require_shape("w", self.w, ("blocks", self.blocks), ("n", self.n))
        require_real("w", self.w)
        for name, bound in (("low", self.low), ("high", self.high)):
            require_shape(name, bound, ("blocks", self.blocks))
            if bool(bound.isnan().any()):
                raise InputError(f"{name} is not a number at some block; use infinity for none.")

    @classmethod
    def below(
        cls, law: Law[State], w: Float[Tensor, "blocks n"], high: Float[Tensor, " blocks"]
    ) -> "Within[State]":
        """Where `w_t' x < high_t`."""
        return cls(law, w, torch.full_like(high, -torch.inf), high)

    @classmethod
    def above(
        cls, law: Law[State], w: Float[Tensor, "blocks n"], low: Float[Tensor, " blocks"]
    ) -> "Within[State]":
        """Where `w_t' x > low_t`."""
        return cls(law, w, low, torch.full_like(low, torch.inf))

    @cached_property
    def _at(self) -> tuple[tuple[Tensor, Tensor | None, Tensor], ...]:
        """`w_t` and its bounds at each block; None for no lower bound."""
        bounded = (None if bool(low.isneginf()) else low for low in self.low)
        return tuple(zip(self.w.unsqueeze(-1), bounded, self.high, strict=True))

    def holds(self, x: Float[Tensor, "rows n"], block: int) -> Bool[Tensor, "rows 1"]:
        """Which states the law acts on.

        Args:
            x: as in `step`.
            block: the 0-based block.
        """
        w, low, high = self._at[block]
        p = x.to(self.dtype) @ w
        return p < high if low is None else (p > low) & (p < high)

    def to(self, device: torch.device | str) -> "Within[State]":
        """The same on another device."""
        tensors = (t.to(device) for t in (self.w, self.low, self.high))
        return Within(self.law.to(device), *tensors)

    def input(
        self,
        state: State,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[State, Float[Tensor, "rows n"]]:
        """The law's input where the predicate holds, zero elsewhere."""
        state, u = self.law.input(state, x, reference, block)
        return state, torch.where(self.holds(x, block), u, 0.0)

    def added(
        self,
        state: State,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
        y: Float[Tensor, "rows n"],
    ) -> tuple[State, Float[Tensor, "rows n"]]:
        """What the law makes of the output where the predicate holds, the output elsewhere."""
        state, moved = self.law.added(state, x, reference, block, y)
        return state, torch.where(self.holds(x, block), moved, y)
