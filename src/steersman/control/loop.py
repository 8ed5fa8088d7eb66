"""The closed loop of a plant that is known by its products."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_shape
from steersman.control.system import Plant
from steersman.errors import ShapeError


@dataclass(frozen=True, eq=False)
class ClosedLoop:
    """The loop `Phi_t = A_t - G_t H_t'` that `u = G_t (s_t - H_t' x)` makes of a plant.

    Products with it cost products with the plant, and `2 n k` more; no matrix is made.

    Args:
        plant: the plant without its law.
        H: what the law observes, `(blocks, n, k)`.
        G: what it does about it, `(blocks, n, k)`.

    Raises:
        ShapeError: `H` or `G` does not belong to the plant.
    """

    plant: Plant
    H: Float[Tensor, "blocks n k"]
    G: Float[Tensor, "blocks n k"]

    def __post_init__(self) -> None:
        """Check that the law is one for this plant."""
        if self.H.ndim != 3:
            raise ShapeError(f"H has shape {tuple(self.H.shape)}; expected (blocks, n, k).")
        for name, tensor in (("H", self.H), ("G", self.G)):
            columns = ("k", self.H.shape[2])
            require_shape(name, tensor, ("blocks", self.blocks), ("n", self.n), columns)

    @property
    def blocks(self) -> int:
        """The number of blocks: the horizon."""
        return self.plant.blocks

    @property
    def n(self) -> int:
        """The width of the state."""
        return self.plant.n

    def jvp(self, block: int, v: Float[Tensor, " n *k"]) -> Float[Tensor, " n *k"]:
        """`Phi_t v` for a vector or the columns of a matrix."""
        moved = self.plant.jvp(block, v)
        return moved - self.G[block].to(moved) @ (self.H[block].to(moved).mT @ v.to(moved))

    def vjp(self, block: int, w: Float[Tensor, " n *k"]) -> Float[Tensor, " n *k"]:
        """`Phi_t' w` for a vector or the columns of a matrix."""
        pulled = self.plant.vjp(block, w)
        return pulled - self.H[block].to(pulled) @ (self.G[block].to(pulled).mT @ w.to(pulled))
