"""A setpoint that lies on a curve: a place along it is what is asked for."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_real
from steersman.control.law import Reads
from steersman.control.stateless import Stateless
from steersman.errors import InputError, ShapeError


@dataclass(frozen=True, eq=False)
class CurveLaw(Stateless):
    """Set the part of the state in a subspace to a point of a curve there.

        u = U_t (g_t(s) - own U_t' x - (1 - own) g_t(start))

    The reference is two numbers, `s` and `own`. With `own = 1` the state's own part is replaced,
    `U_t' (x + u) = g_t(s)`; with `own = 0` the state is taken to be at a place of the curve, keeps
    its distance from it, and `s = start` adds nothing. The rest of the state is not touched. Beyond
    the ends of an open curve it goes on straight.

    Args:
        U: orthonormal columns, `(blocks, n, k)`, float32 or float64; zeros at a block that never
            acts.
        pieces: the curve of each block as `spline` gives it, `(blocks, pieces, 4, k)`, `s` counted
            from 0 in pieces.
        periodic: whether the curve is closed.
        start: the place that states are taken to be at.
        reads: whether it sets what enters a block or what leaves it.

    Raises:
        ShapeError: the tensors do not fit each other.
        InputError: half precision, or columns that are not orthonormal.
        NumericalError: NaN or infinity.
    """

    U: Float[Tensor, "blocks n k"]
    pieces: Float[Tensor, "blocks pieces 4 k"]
    periodic: bool = False
    start: float = 0.0
    reads: Reads = "output"

    def __post_init__(self) -> None:
        """Check the two tensors."""
        blocks, _, k = self.U.shape if self.U.ndim == 3 else (0, 0, 0)
        shape = tuple(self.pieces.shape)
        if len(shape) != 4 or (shape[0], *shape[2:]) != (blocks, 4, k) or 0 in shape:
            raise ShapeError(
                f"U has shape {tuple(self.U.shape)} and pieces {shape}; expected (blocks, n, k) "
                "and (blocks, pieces, 4, k)."
            )
        require_real("U", self.U)
        require_real("pieces", self.pieces)
        products = self.U.mT @ self.U
        apart = (products - torch.eye(k).to(products)).abs().amax(dim=(1, 2))
        if bool(((apart > 100 * torch.finfo(self.dtype).eps) & self.U.flatten(1).any(1)).any()):
            raise InputError("the columns of U are not orthonormal: orthonormalise them first.")

    @property
    def k(self) -> int:
        """The place, and how much of the state's own part is replaced."""
        return 2

    @property
    def actuator(self) -> Float[Tensor, "blocks n k"]:
        """What is acted along: the subspace."""
        return self.U

    @cached_property
    def _at(self) -> tuple[tuple[Tensor, Tensor], ...]:
        return tuple(zip(self.U, self.pieces, strict=True))

    def place(self, s: Float[Tensor, "rows 1"], block: int) -> Float[Tensor, "rows k"]:
        """`g_t(s)` for each row.

        Args:
            s: places along the curve.
            block: the 0-based block.
        """
        pieces = self._at[block][1]
        count = len(pieces)
        if self.periodic:
            s = torch.remainder(s, count)
        inside = s.clamp(0.0, float(count))
        piece = inside.floor().clamp_max(count - 1)
        c0, c1, c2, c3 = pieces[piece.squeeze(1).long()].unbind(1)
        r = inside - piece
        return c0 + r * (c1 + r * (c2 + r * c3)) + (s - inside) * (c1 + r * (2 * c2 + 3 * r * c3))

    def input(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """The push of each row."""
        U, (s, own) = self._at[block][0], reference.tensor_split(2, dim=1)
        known = self.place(torch.full_like(s, self.start), block)
        return None, (self.place(s, block) - torch.lerp(known, x @ U, own)) @ U.mT
