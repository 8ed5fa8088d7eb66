"""One affine law for each row of a batch."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_pair
from steersman.control.law import Law
from steersman.errors import ShapeError


@dataclass(frozen=True, eq=False)
class RowsLaw(Law[None]):
    """`u = G_{r,t} (s - H_{r,t}' x)` for the tokens of row `r`: each row has a law of its own.

    The rows that `step` is given are the tokens of row 0, then those of row 1, and so on, as many
    of each.

    Args:
        H: what is observed, `(rows, blocks, n, k)`, float32 or float64.
        G: what is done about it, the same shape, dtype and device.

    Raises:
        ShapeError: `H` and `G` are not two `(rows, blocks, n, k)` tensors of one shape.
        InputError: half precision.
        NumericalError: NaN or infinity.
    """

    H: Float[Tensor, "rows blocks n k"]
    G: Float[Tensor, "rows blocks n k"]

    def __post_init__(self) -> None:
        """Check that the two tensors belong together."""
        require_pair(self.H, self.G, "rows", "blocks", "n", "k")

    @classmethod
    def schedule(cls, inputs: Float[Tensor, "rows blocks n *features"]) -> "RowsLaw":
        """The open-loop laws `u = inputs_{r,t} s`, a reference a feature."""
        G = inputs.reshape(*inputs.shape[:3], -1)
        return cls(torch.zeros_like(G), G)

    @property
    def rows(self) -> int:
        """The number of rows of the batch."""
        return self.H.shape[0]

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return self.H.shape[1]

    @property
    def n(self) -> int:
        """The width of the state."""
        return self.H.shape[2]

    @property
    def k(self) -> int:
        """How many numbers are observed."""
        return self.H.shape[3]

    @property
    def dtype(self) -> torch.dtype:
        """The precision of `H` and `G`."""
        return self.H.dtype

    @cached_property
    def _acting(self) -> tuple[bool, ...]:
        return tuple(bool(G.any()) for G in self.G.unbind(1))

    @cached_property
    def _observes(self) -> bool:
        return bool(self.H.any())

    def is_active(self, block: int) -> bool:
        """Whether any row's law acts at `block`."""
        return super().is_active(block) and self._acting[block]

    def to(self, device: torch.device | str) -> "RowsLaw":
        """The same laws on another device, in the same precision."""
        return RowsLaw(self.H.to(device), self.G.to(device))

    def init(self, rows: int) -> None:
        """No state.

        Raises:
            ShapeError: the rows are no multiple of the batch's.
        """
        if rows % self.rows:
            raise ShapeError(f"{rows} rows are not so many tokens for each of {self.rows} rows.")

    def observe(self, x: Float[Tensor, "tokens n"], block: int) -> Float[Tensor, "tokens k"]:
        """`H_{r,t}' x` of every token with the law of its row."""
        each = x.to(self.dtype).view(self.rows, -1, self.n)
        return torch.bmm(each, self.H[:, block]).reshape(len(x), self.k)

    def input(
        self,
        state: None,
        x: Float[Tensor, "tokens n"],
        reference: Float[Tensor, "tokens k"],
        block: int,
    ) -> tuple[None, Float[Tensor, "tokens n"]]:
        """The input of every token, from the law of its row."""
        error = reference - self.observe(x, block) if self._observes else reference
        each = error.view(self.rows, -1, self.k)
        return None, torch.bmm(each, self.G[:, block].mT).reshape(len(x), self.n)
