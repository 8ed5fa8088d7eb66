"""Features of a sparse autoencoder, set or moved where they are; the rest of the state is kept."""

from abc import abstractmethod
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.autoencoders import Encoder
from steersman.control.at_block import AtBlock
from steersman.control.checks import require_real, require_shape
from steersman.control.law import Reads


@dataclass(frozen=True, eq=False)
class SparseLaw(AtBlock):
    """Something done to a few features `f_S(x)` of what leaves one block, along their decoder rows.

        u = s g(f_S(x))' D

    What the autoencoder does not reconstruct, `x - x^`, is in no term and so stays as it is.

    Args:
        encoder: says the features `f_S`, as many as there are values.
        D: what each of them adds to the state, `(chosen, n)`, float32 or float64.
        values: a number for each, `(chosen,)`, of which the law says what it means.
        block: whose output it reads and adds to.
        depth: how many blocks the plant has.
        reads: what leaves the block, or what enters it.

    Raises:
        ShapeError: tensors that do not fit each other.
        InputError: half precision, or a block that does not exist.
        NumericalError: NaN or infinity.
    """

    encoder: Encoder
    D: Float[Tensor, "chosen n"]
    values: Float[Tensor, " chosen"]
    block: int
    depth: int
    reads: Reads = "output"

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        chosen, n = self.D.shape
        require_shape("values", self.values, ("chosen", chosen))
        require_shape("centre", self.encoder.centre, ("n", n))
        for name, tensor in (("D", self.D), ("values", self.values)):
            require_real(name, tensor)
        self.require_block()

    @property
    def n(self) -> int:
        """The width of the state."""
        return self.D.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the rows."""
        return self.D.dtype

    def to(self, device: torch.device | str) -> "SparseLaw":
        """The same law on another device, in the same precision."""
        moved = {name: getattr(self, name).to(device) for name in ("encoder", "D", "values")}
        return replace(self, **moved)

    def input(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """`s g(f_S(x))' D` for each row."""
        return None, reference * (self.change(self.encoder(x)) @ self.D)

    @abstractmethod
    def change(self, f: Float[Tensor, "rows chosen"]) -> Float[Tensor, "rows chosen"]:
        """`g(f_S)`: by how much each feature is to be moved.

        Args:
            f: the features.
        """


@dataclass(frozen=True, eq=False)
class FeatureClamp(SparseLaw):
    """`u = s (c - f_S(x))' D`: each feature's own part of the state taken out, and `c` put in.

    With reference 1 the state's part along feature `i` becomes `c_i D_i`. The encoder reads `c_i`
    there afterwards where it is linear, undisturbed by the others, and reads its own row as 1. With
    `c = 0` the features are taken out. `values` is `c`.
    """

    def change(self, f: Float[Tensor, "rows chosen"]) -> Float[Tensor, "rows chosen"]:
        """`c - f_S`."""
        return self.values - f


@dataclass(frozen=True, eq=False)
class ActivatedBias(SparseLaw):
    """`u = s (b 1[f_S(x) > 0])' D`: features moved where they are there at all.

    A state without any of them is left alone, bit for bit. `values` is `b`.
    """

    def change(self, f: Float[Tensor, "rows chosen"]) -> Float[Tensor, "rows chosen"]:
        """`b` where the feature is there, else 0."""
        return torch.where(f > 0, self.values, torch.zeros_like(self.values))
