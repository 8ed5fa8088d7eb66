"""What laws have in common that change what another law does."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from steersman.control.law import Law, Places, Reads, State


class Around(Law[State]):
    """Another law, asked for less; a frozen dataclass with that `law`.

    Its state is the law's, unless it says otherwise.
    """

    law: Law[Any]

    @property
    def reads(self) -> Reads:  # type: ignore[override]  # as the law does
        """What the law reads."""
        return self.law.reads

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return self.law.blocks

    @property
    def n(self) -> int:
        """The width of the state."""
        return self.law.n

    @property
    def k(self) -> int:
        """How many numbers the law's reference has."""
        return self.law.k

    @property
    def dtype(self) -> torch.dtype:
        """The law's precision."""
        return self.law.dtype

    def is_active(self, block: int) -> bool:
        """Whether the law acts at `block`."""
        return self.law.is_active(block)

    def observe(self, x: Float[Tensor, "rows n"], block: int) -> Float[Tensor, "rows k"]:
        """What the law observes."""
        return self.law.observe(x, block)

    def init(self, rows: int) -> State:
        """The law's state before block 0."""
        state: State = self.law.init(rows)
        return state

    def begin(self, rows: int, places: Places) -> State:
        """The same, the law told where the rows are."""
        state: State = self.law.begin(rows, places)
        return state

    def held_back(self, state: State) -> Bool[Tensor, " rows"] | None:
        """The rows that the law itself held back."""
        return self.law.held_back(state)
