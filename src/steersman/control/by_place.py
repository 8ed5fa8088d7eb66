"""A schedule for every place of a text."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from steersman.control.checks import require_finite, require_real
from steersman.control.law import Law, Places
from steersman.errors import InputError, ShapeError


@dataclass(frozen=True, eq=False)
class ByPlace(Law[Int[Tensor, " rows"]]):
    """An input that depends on where in its text a token is, and on no state.

        u_t(x at place p) = reference C_{t,p}      for p < P, and nothing behind

    Args:
        C: the inputs, `(blocks, places, n)`; float32, or float64 for proofs.

    Raises:
        ShapeError: C does not have three axes, or no place.
        InputError: half precision.
        NumericalError: NaN or infinity.
    """

    C: Float[Tensor, "blocks places n"]

    def __post_init__(self) -> None:
        """Check the inputs."""
        if self.C.ndim != 3 or not self.C.shape[1]:
            raise ShapeError(
                f"C has shape {tuple(self.C.shape)}; expected (blocks, places, n), with a place."
            )
        require_real("C", self.C)
        require_finite("C", self.C)

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return self.C.shape[0]

    @property
    def n(self) -> int:
        """The width of the state."""
        return self.C.shape[2]

    @property
    def k(self) -> int:
        """The reference is one number: how much of the schedule."""
        return 1

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the inputs."""
        return self.C.dtype

    @cached_property
    def _acting(self) -> tuple[bool, ...]:
        return tuple(self.C.flatten(1).any(dim=1).tolist())

    @cached_property
    def _at(self) -> tuple[Tensor, ...]:
        """The inputs of each block, and behind the last place nothing."""
        return torch.cat([self.C, torch.zeros_like(self.C[:, :1])], dim=1).unbind()

    def is_active(self, block: int) -> bool:
        """Whether the law acts at `block`."""
        return super().is_active(block) and self._acting[block]

    def to(self, device: torch.device | str) -> "ByPlace":
        """The same law on another device."""
        return replace(self, C=self.C.to(device))

    def init(self, rows: int) -> Int[Tensor, " rows"]:
        """There is none without the places.

        Raises:
            InputError: always.
        """
        raise InputError("the law acts by a token's place in its text: begin it with the places.")

    def begin(self, rows: int, places: Places) -> Int[Tensor, " rows"]:
        """Where each row is, those behind the last place of the schedule together."""
        return places().to(self.C.device).clamp(0, self.C.shape[1])

    def input(
        self,
        state: Int[Tensor, " rows"],
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[Int[Tensor, " rows"], Float[Tensor, "rows n"]]:
        """Each row's own part of the schedule."""
        return state, reference * self._at[block][state.to(x.device)]
