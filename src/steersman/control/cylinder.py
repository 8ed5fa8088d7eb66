"""A push of one length around an axis, whose way beside the axis depends on the state."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_pair, require_real, require_shape
from steersman.control.law import Reads
from steersman.control.stateless import Stateless


@dataclass(frozen=True, eq=False)
class CylinderLaw(Stateless):
    """The push that the state asks for, made as long as all others, and its normal part penalised.

        d = G_t (o_t + H_t' x)                        what this state asks for
        theta = angle(d, a_t),   n = unit(d - (a_t' d) a_t)
        u = s L_t (cos(theta) a_t + (1 - penalty) sin(theta) n)

    Penalty 0 is the whole push, scaled to the length `s L_t`; at penalty 1 only its part along the
    axis is left, so that states whose push lies beside the axis are pushed less.

    Args:
        H: what is observed, `(blocks, n, k)`, float32 or float64.
        G: what is done about it, the same shape, dtype and device.
        o: what is added to the observation, `(blocks, k)`.
        axis: unit vectors `a_t`, `(blocks, n)`.
        length: `L_t`, `(blocks,)`.
        penalty: how much of the normal part is taken away.
        reads: whether it reads what enters a block or what leaves it.

    Raises:
        ShapeError: the tensors do not fit each other.
        InputError: half precision.
        NumericalError: NaN or infinity.

    Source:
        Cylindrical Representation Hypothesis, https://github.com/mbzuai-nlp/CRH, where `d` is the
        difference that the sample itself shows.
    """

    H: Float[Tensor, "blocks n k"]
    G: Float[Tensor, "blocks n k"]
    o: Float[Tensor, "blocks k"]
    axis: Float[Tensor, "blocks n"]
    length: Float[Tensor, " blocks"]
    penalty: float = 0.0
    reads: Reads = "input"

    def __post_init__(self) -> None:
        """Check that the tensors belong together."""
        require_pair(self.H, self.G, "blocks", "n", "k")
        require_shape("o", self.o, ("blocks", self.blocks), ("k", self.H.shape[2]))
        require_shape("axis", self.axis, ("blocks", self.blocks), ("n", self.n))
        require_shape("length", self.length, ("blocks", self.blocks))
        for name in ("o", "axis", "length"):
            require_real(name, getattr(self, name))

    @property
    def actuator(self) -> Float[Tensor, "blocks n k"]:
        """What is acted along: `G`."""
        return self.G

    @cached_property
    def _at(self) -> tuple[tuple[Tensor, ...], ...]:
        return tuple(zip(self.H, self.G, self.o, self.axis, self.length, strict=True))

    def input(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        """The push of each row; none where the state asks for nothing."""
        H, G, o, axis, length = self._at[block]
        d = torch.addmm(o, x, H) @ G.mT
        size = torch.linalg.vector_norm(d, dim=1, keepdim=True)
        unit = d / size.clamp_min(torch.finfo(self.dtype).tiny)
        kept = (
            unit
            if not self.penalty
            else torch.lerp(unit, (unit @ axis)[:, None] * axis, self.penalty)
        )
        return None, reference * length * kept
