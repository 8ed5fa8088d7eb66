"""The plant as a linear time-varying system: depth is time."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_finite, require_full_precision, require_shape
from steersman.errors import ShapeError


@runtime_checkable
class Plant(Protocol):
    """A linear time-varying plant that is known by its products alone: no matrix need exist.

    Products are given in the plant's own precision.
    """

    @property
    def blocks(self) -> int:
        """The number of blocks: the horizon."""

    @property
    def n(self) -> int:
        """The width of the state."""

    def jvp(self, block: int, v: Float[Tensor, " n *k"]) -> Float[Tensor, " n *k"]:
        """`A_t v` for a vector or the columns of a matrix."""

    def vjp(self, block: int, w: Float[Tensor, " n *k"]) -> Float[Tensor, " n *k"]:
        """`A_t' w` for a vector or the columns of a matrix."""


@dataclass(frozen=True, eq=False)
class LTVSystem:
    """The linear time-varying system `x_{t+1} = A_t x_t + u_t`, `t = 0 .. blocks - 1`.

    `x_t` is the state at the input of block `t` (or its deviation from a nominal run), `u_t` is
    what is added at that block's output, and `x_blocks` is the output of the last block.

    Args:
        A: `A_t = df_t/dx_t`, one square matrix a block, in float32 or float64.

    Raises:
        ShapeError: `A` is not `(blocks, n, n)` with `blocks, n >= 1`.
        InputError: `A` is in half precision or not floating point.
        NumericalError: some `A_t` has NaN or infinite entries; the message names the block.
    """

    A: Float[Tensor, "blocks n n"]

    def __post_init__(self) -> None:
        """Check shape, dtype and values."""
        shape = tuple(self.A.shape)
        if len(shape) != 3 or shape[1] != shape[2] or 0 in shape:
            raise ShapeError(
                f"A has shape {shape}; expected (blocks, n, n): one square matrix a block."
            )
        require_full_precision("A", self.A)
        for block, jacobian in enumerate(self.A):
            require_finite(f"A of block {block}", jacobian)

    @property
    def blocks(self) -> int:
        """The number of blocks: the horizon."""
        return self.A.shape[0]

    @property
    def n(self) -> int:
        """The width of the state."""
        return self.A.shape[1]

    def jvp(self, block: int, v: Float[Tensor, " n *k"]) -> Float[Tensor, " n *k"]:
        """`A_t v` for a vector or the columns of a matrix."""
        return self.A[block] @ v.to(self.A)

    def vjp(self, block: int, w: Float[Tensor, " n *k"]) -> Float[Tensor, " n *k"]:
        """`A_t' w` for a vector or the columns of a matrix."""
        return self.A[block].mT @ w.to(self.A)

    def to(self, dtype: torch.dtype) -> "LTVSystem":
        """The same system in another precision."""
        return LTVSystem(self.A.to(dtype))

    def closed_loop(
        self, H: Float[Tensor, "blocks n k"], G: Float[Tensor, "blocks n k"]
    ) -> "LTVSystem":
        """The loop `Phi_t = A_t - G_t H_t'` that `u = G_t (s_t - H_t' x)` makes of this system.

        A full state feedback `u = -K_t x` is `H_t = I`, `G_t = K_t`.

        Args:
            H: what is observed, `k` columns a block.
            G: what is done about it, `k` columns a block.

        Raises:
            ShapeError: `H` or `G` does not belong to this system.
        """
        for name, tensor in (("H", H), ("G", G)):
            columns = ("k", H.shape[-1])
            require_shape(name, tensor, ("blocks", self.blocks), ("n", self.n), columns)
        return LTVSystem(self.A - G.to(self.A) @ H.to(self.A).mT)
