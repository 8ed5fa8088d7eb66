"""A limit to the effort of any law."""

from dataclasses import dataclass, replace
from typing import Generic

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from steersman.control.around import Around
from steersman.control.checks import require_positive
from steersman.control.law import Law, Places, State


@dataclass(frozen=True, eq=False)
class CappedState(Generic[State]):
    """What the law keeps, and how much of its last input each row was given.

    Args:
        law: the state of the law.
        scale: below 1 where its last input was shortened; None before the first.
    """

    law: State
    scale: Float[Tensor, "rows 1"] | None = None


@dataclass(frozen=True, eq=False)
class Capped(Around[CappedState[State]], Generic[State]):
    """Another law whose input is never longer than a share of the state.

        u = w min(1, cap |x| / |w|),      w what the other law would add

    It is the point of the ball `|u| <= cap |x|` that is nearest to `w`: the direction stays, and an
    input within the ball is not touched. A law with a state, as an integral, does not hear of it;
    whoever integrates from run to run does, by `held_back`.

    Args:
        law: the law.
        cap: the longest input relative to the state that the law reads, above zero.

    Raises:
        InputError: `cap` is not finite and above zero.
    """

    law: Law[State]
    cap: float

    def __post_init__(self) -> None:
        """Check the cap."""
        require_positive("cap", self.cap)

    def to(self, device: torch.device | str) -> "Capped[State]":
        """The same on another device."""
        return replace(self, law=self.law.to(device))

    def init(self, rows: int) -> CappedState[State]:
        """The law's state before block 0; nothing was held back yet."""
        return CappedState(self.law.init(rows))

    def begin(self, rows: int, places: Places) -> CappedState[State]:
        """The same, told where the rows are."""
        return CappedState(self.law.begin(rows, places))

    def held_back(self, state: CappedState[State]) -> Bool[Tensor, " rows"] | None:
        """The rows whose last input was shortened, here or by the law itself."""
        inner = self.law.held_back(state.law)
        here = None if state.scale is None else state.scale[:, 0] < 1
        return inner if here is None else here if inner is None else here | inner

    def input(
        self,
        state: CappedState[State],
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[CappedState[State], Float[Tensor, "rows n"]]:
        """The law's input, shortened where it is too long."""
        inner, u = self.law.input(state.law, x, reference, block)
        scale = self._scale(x, u)
        return CappedState(inner, scale), u * scale

    def added(
        self,
        state: CappedState[State],
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
        y: Float[Tensor, "rows n"],
    ) -> tuple[CappedState[State], Float[Tensor, "rows n"]]:
        """The same, added to what comes out of the block."""
        inner, u = self.law.input(state.law, x, reference, block)
        scale = self._scale(x, u)
        return CappedState(inner, scale), torch.addcmul(y, u, scale)

    def _scale(
        self, x: Float[Tensor, "rows n"], u: Float[Tensor, "rows n"]
    ) -> Float[Tensor, "rows 1"]:
        """`min(1, cap |x| / |u|)`; an input of length zero is left as it is."""
        length: Tensor = torch.linalg.vector_norm(u, dim=-1, keepdim=True)
        most: Tensor = self.cap * torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return (most / length.clamp(min=torch.finfo(u.dtype).tiny)).clamp(max=1.0)
