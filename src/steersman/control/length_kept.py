"""A vector added without making the state longer or shorter."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_real
from steersman.control.law import Reads
from steersman.control.stateless import Stateless


@dataclass(frozen=True, eq=False)
class LengthKept(Stateless):
    """`x + u = |x| (x + s v_t) / |x + s v_t|`: turned towards `v_t`, as long as it was.

    The length is a row's own, of its `n` coordinates: no other token and no other example is in it.
    Reference 0 leaves every bit. Where `x + s v_t` is zero nothing is done, as it points nowhere.

    Args:
        v: what is added, `(blocks, n)`, float32 or float64; zero at a block that never acts.
        reads: whether it turns what leaves a block or what enters it.

    Raises:
        InputError: half precision.
        NumericalError: NaN or infinity.
    """

    v: Float[Tensor, "blocks n"]
    reads: Reads = "output"

    def __post_init__(self) -> None:
        """Check the vectors."""
        require_real("v", self.v)

    @property
    def actuator(self) -> Float[Tensor, "blocks n"]:
        """What is acted along: `v`."""
        return self.v

    def input(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """What turns each row."""
        towards = x + reference * self.v[block]
        length = towards.norm(dim=1, keepdim=True)
        # One length over the other is exactly 1 where nothing is added.
        share = torch.where(length > 0, x.norm(dim=1, keepdim=True) / length, 1.0)
        turned = torch.where(length > 0, towards * share, x)
        return None, turned - x
