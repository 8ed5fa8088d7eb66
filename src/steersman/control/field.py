"""A push that depends on the state: where the setpoint is a function of the state itself."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_pair, require_real, require_shape
from steersman.control.law import Law, Reads


@dataclass(frozen=True, eq=False)
class AffineField(Law[None]):
    """`u = s G_t (o_t + H_t' x)`: the reference `s` is how much of an affine map of the state.

    It is the low-rank law with the setpoint `x + s G_t (o_t + H_t' x)`, followed at once.

    Args:
        H: what is observed, `(blocks, n, k)`, float32 or float64.
        G: what is done about it, the same shape, dtype and device.
        o: what is added to the observation, `(blocks, k)`.
        reads: whether it maps what enters a block or what leaves it.

    Raises:
        ShapeError: `H` and `G` are not two `(blocks, n, k)` tensors, or `o` does not fit them.
        InputError: half precision.
        NumericalError: NaN or infinity.
    """

    H: Float[Tensor, "blocks n k"]
    G: Float[Tensor, "blocks n k"]
    o: Float[Tensor, "blocks k"]
    reads: Reads = "input"

    def __post_init__(self) -> None:
        """Check that the three tensors belong together."""
        require_pair(self.H, self.G, "blocks", "n", "k")
        require_shape("o", self.o, ("blocks", self.blocks), ("k", self.H.shape[2]))
        require_real("o", self.o)

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return self.H.shape[0]

    @property
    def n(self) -> int:
        """The width of the state."""
        return self.H.shape[1]

    @property
    def k(self) -> int:
        """The reference is one number: how much."""
        return 1

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the tensors."""
        return self.H.dtype

    @cached_property
    def _acting(self) -> tuple[bool, ...]:
        return tuple(bool(G.any()) for G in self.G)

    @cached_property
    def _at(self) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
        """`H_t, G_t, o_t` of each block: views that are not made anew for every token."""
        return tuple(zip(self.H, self.G, self.o, strict=True))

    def is_active(self, block: int) -> bool:
        """Whether the law acts at `block`."""
        return super().is_active(block) and self._acting[block]

    def to(self, device: torch.device | str) -> "AffineField":
        """The same law on another device, in the same precision."""
        return replace(self, H=self.H.to(device), G=self.G.to(device), o=self.o.to(device))

    def init(self, rows: int) -> None:
        """No state."""

    def input(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """`s G_t (o_t + H_t' x)` for each row."""
        H, G, o = self._at[block]
        return None, (reference * torch.addmm(o, x, H)) @ G.mT

    def added(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
        y: Float[Tensor, "rows n"],
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """`y + s G_t (o_t + H_t' x)`, in two products."""
        H, G, o = self._at[block]
        return None, torch.addmm(y, reference * torch.addmm(o, x, H), G.mT)
