"""What laws without a state have in common."""

from abc import abstractmethod
from dataclasses import fields, replace
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from steersman.control.law import Law

One = TypeVar("One", bound="Stateless")


class Stateless(Law[None]):
    """A law without a state, a frozen dataclass of tensors; its reference is one number.

    It acts at the blocks where its actuator is not zero.
    """

    @property
    @abstractmethod
    def actuator(self) -> Tensor:
        """What is acted along, `(blocks, n)` or `(blocks, n, k)`; zero where nothing is done."""

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return self.actuator.shape[0]

    @property
    def n(self) -> int:
        """The width of the state."""
        return self.actuator.shape[1]

    @property
    def k(self) -> int:
        """The reference is one number."""
        return 1

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the tensors."""
        return self.actuator.dtype

    @cached_property
    def _acting(self) -> tuple[bool, ...]:
        return tuple(self.actuator.flatten(1).any(dim=1).tolist())

    def is_active(self, block: int) -> bool:
        """Whether the law acts at `block`."""
        return super().is_active(block) and self._acting[block]

    def to(self: One, device: torch.device | str) -> One:
        """The same law on another device, in the same precision."""
        one: Any = self
        tensors = {f.name: getattr(self, f.name) for f in fields(one)}
        moved = {name: t.to(device) for name, t in tensors.items() if isinstance(t, Tensor)}
        found: One = replace(one, **moved)
        return found

    def init(self, rows: int) -> None:
        """No state."""
