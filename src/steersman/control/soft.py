"""A soft gate: as much of a law as a logistic probe of the state says."""

from dataclasses import dataclass
from functools import cached_property
from typing import Generic

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.around import Around
from steersman.control.checks import require_finite, require_real, require_shape
from steersman.control.law import Law, State


@dataclass(frozen=True, eq=False)
class Softly(Around[State], Generic[State]):
    """Another law, as much of it as a probe of the same token says that there is need.

        u = sigma(w_t' x + b_t) u'(x),      u' the other law's input

    `x` is what the law reads. Sharp probes make it a hard gate: with `k w, k b` and `k` to
    infinity it is `Within.above(law, w, -b)`; `b` to infinity is the law itself, to minus infinity
    nothing. A probability that rounds to zero adds exactly zero.

    Args:
        law: the law.
        w: weights of the probe, `(blocks, n)`, the law's dtype.
        b: its intercept, `(blocks,)`.

    Raises:
        ShapeError: the tensors do not fit the law.
        InputError: half precision.
        NumericalError: NaN or infinity.
    """

    law: Law[State]
    w: Float[Tensor, "blocks n"]
    b: Float[Tensor, " blocks"]

    def __post_init__(self) -> None:
        """Check that the probe fits the law."""
        require_shape("w", self.w, ("blocks", self.blocks), ("n", self.n))
        require_shape("b", self.b, ("blocks", self.blocks))
        for name, tensor in (("w", self.w), ("b", self.b)):
            require_real(name, tensor)
            require_finite(name, tensor)

    @cached_property
    def _at(self) -> tuple[tuple[Tensor, Tensor], ...]:
        return tuple(zip(self.w.unsqueeze(-1), self.b, strict=True))

    def probability(self, x: Float[Tensor, "rows n"], block: int) -> Float[Tensor, "rows 1"]:
        """How much of the law each state gets.

        Args:
            x: as in `step`.
            block: the 0-based block.
        """
        w, b = self._at[block]
        return torch.sigmoid(x.to(self.dtype) @ w + b)

    def to(self, device: torch.device | str) -> "Softly[State]":
        """The same on another device."""
        return Softly(self.law.to(device), self.w.to(device), self.b.to(device))

    def input(
        self,
        state: State,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[State, Float[Tensor, "rows n"]]:
        """The law's input, shortened."""
        state, u = self.law.input(state, x, reference, block)
        return state, self.probability(x, block) * u
