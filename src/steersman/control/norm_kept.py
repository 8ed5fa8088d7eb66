"""A law that turns a state and does not lengthen it."""

from dataclasses import dataclass, replace
from typing import Generic

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.around import Around
from steersman.control.law import Law, State
from steersman.errors import InputError


@dataclass(frozen=True, eq=False)
class NormKept(Around[State], Generic[State]):
    """Another law, after which each state is as long as before.

        x <- |x| (x + w) / |x + w|,      w what the other law would add

    What the law wants to do along the state itself is undone, and the rest is done a little less.
    An input of zero leaves every bit; a state that would vanish is left alone.

    Args:
        law: the law; it reads what leaves a block, which is what keeps its length.

    Raises:
        InputError: the law reads what enters a block.
    """

    law: Law[State]

    def __post_init__(self) -> None:
        """Check what the law reads."""
        if self.law.reads != "output":
            raise InputError(
                "the length that is kept is that of what leaves a block, and this law reads what "
                "enters it: give one that reads the output."
            )

    def to(self, device: torch.device | str) -> "NormKept[State]":
        """The same on another device."""
        return replace(self, law=self.law.to(device))

    def input(
        self,
        state: State,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[State, Float[Tensor, "rows n"]]:
        """What leads to the state of the old length."""
        state, u = self.law.input(state, x, reference, block)
        moved = x + u
        length, longer = (torch.linalg.vector_norm(v, dim=-1, keepdim=True) for v in (x, moved))
        kept = moved * (length / longer)
        return state, torch.where(longer > 0, kept - x, 0.0)
