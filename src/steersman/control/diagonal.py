"""A setpoint for every coordinate of the state: an affine map with a diagonal matrix."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from steersman.control.checks import require_blocks, require_pair, require_shape
from steersman.control.law import Reads
from steersman.control.stateless import Stateless
from steersman.errors import InputError


@dataclass(frozen=True, eq=False)
class DiagonalField(Stateless):
    """`u = s (omega_t x + beta_t - x)`, coordinate by coordinate: `s` of the way to the image.

        x' = s (omega_t x + beta_t) + (1 - s) x     where low_t < x < high_t, else x' = x

    `omega = 1` with `beta = 0` leaves a coordinate alone, bit for bit. A gain `g` is `omega = 1 +
    g`, a clamp `omega = 0`, a shift `omega = 1`.

    Args:
        omega: slopes, `(blocks, n)`, float32 or float64.
        beta: what is added, the same shape, dtype and device.
        low: a coordinate that is not above is left alone, `(blocks, n)`; None is no bound.
        high: one that is not below; None is no bound.
        reads: whether it maps what enters a block or what leaves it.
        active: the blocks where it acts, even where it does nothing yet, as while it is trained;
            None is every block where it does anything.

    Raises:
        ShapeError: the tensors are not all `(blocks, n)`.
        InputError: half precision, two dtypes or devices, a bound that is not a number, or an
            active block that does not exist.
        NumericalError: NaN or infinity.
    """

    omega: Float[Tensor, "blocks n"]
    beta: Float[Tensor, "blocks n"]
    low: Float[Tensor, "blocks n"] | None = None
    high: Float[Tensor, "blocks n"] | None = None
    reads: Reads = "output"
    active: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check that the tensors belong together."""
        require_pair(self.omega, self.beta, "blocks", "n")
        require_blocks(self.active, self.blocks)
        for name, bound in (("low", self.low), ("high", self.high)):
            if bound is not None:
                require_shape(name, bound, ("blocks", self.blocks), ("n", self.n))
                if bool(bound.isnan().any()):
                    raise InputError(f"{name} is not a number; use infinity for no bound.")

    @property
    def actuator(self) -> Float[Tensor, "blocks n"]:
        """How far the slopes and the shifts are from doing nothing."""
        return (self.omega - 1).abs() + self.beta.abs()

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return self.omega.shape[0]

    @property
    def n(self) -> int:
        """The width of the state."""
        return self.omega.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the tensors."""
        return self.omega.dtype

    @cached_property
    def _at(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """`omega_t - 1, beta_t` of each block: views that are not made anew for every token."""
        return tuple(zip(self.omega - 1, self.beta, strict=True))

    def is_active(self, block: int) -> bool:
        """Whether the law acts at `block`."""
        return super().is_active(block) if self.active is None else block in self.active

    @cached_property
    def _bounds(self) -> tuple[tuple[Tensor | None, Tensor | None], ...]:
        """`low_t, high_t` of each block."""
        nothing = [None] * self.blocks
        low, high = (nothing if one is None else list(one) for one in (self.low, self.high))
        return tuple(zip(low, high, strict=True))

    def input(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """The push of each row."""
        gain, shift = self._at[block]
        inside, u = self._inside(x, block), reference * torch.addcmul(shift, gain, x)
        return None, u if inside is None else torch.where(inside, u, 0.0)

    def added(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
        y: Float[Tensor, "rows n"],
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """The same, added to what comes out of the block."""
        gain, shift = self._at[block]
        inside = self._inside(x, block)
        moved = torch.addcmul(y, reference, torch.addcmul(shift, gain, x))
        return None, moved if inside is None else torch.where(inside, moved, y)

    def _inside(self, x: Float[Tensor, "rows n"], block: int) -> Bool[Tensor, "rows n"] | None:
        """The coordinates that are moved; None for all of them."""
        low, high = self._bounds[block]
        if low is None:
            return None if high is None else x < high
        return x > low if high is None else (x > low) & (x < high)
