"""A push that depends on the state: where the setpoint is a function of the state itself."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_pair, require_real, require_shape
from steersman.control.law import Reads
from steersman.control.stateless import Stateless


@dataclass(frozen=True, eq=False)
class AffineField(Stateless):
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
    def actuator(self) -> Float[Tensor, "blocks n k"]:
        """What is acted along: `G`."""
        return self.G

    @cached_property
    def _at(self) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
        """`H_t, G_t', o_t` of each block: views that are not made anew for every token."""
        return tuple(zip(self.H, self.G.mT, self.o, strict=True))

    def input(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """`s G_t (o_t + H_t' x)` for each row."""
        H, G, o = self._at[block]
        return None, (reference * torch.addmm(o, x, H)) @ G

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
        return None, torch.addmm(y, reference * torch.addmm(o, x, H), G)
