"""Natural units of a feature.

With the contrast `c_t = mean desired - mean undesired` and the feature `v_t'x`, one natural unit is
`v_t'c_t` (`|c_t|` for `v_t = c_t/|c_t|`) and the origin is `v_t' mean undesired`: target 0 is where
undesired examples sit, target 1 where desired ones do.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_finite, require_full_precision
from steersman.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Units:
    """What units of target are worth at each block's input: `s_t = origin_t + norm_t target`.

    Args:
        norm: natural units `v_t'c_t` of one feature, `(blocks,)`, or of `k` of them, `(blocks, k)`,
            each with a target of its own; or what one unit of each target asks of each of the `k`
            numbers that a law observes, `(blocks, k, features)`, and `(blocks, rows, k, features)`
            where that differs from row to row.
        origin: where target 0 is, `v_t' mean undesired`; the shape of `norm` without features.

    Raises:
        ShapeError: the shapes are none of these, or do not belong together.
        InputError: half precision.
        NumericalError: NaN or infinity.
    """

    norm: Float[Tensor, " blocks *each"]
    origin: Float[Tensor, " blocks *rows_k"]

    def __post_init__(self) -> None:
        """Check the two tensors."""
        observed = self.norm.shape[:-1] if self.norm.ndim > 2 else self.norm.shape
        if not 1 <= self.norm.ndim <= 4 or self.origin.shape != observed:
            raise ShapeError(
                f"norm has shape {tuple(self.norm.shape)} and origin {tuple(self.origin.shape)}; "
                "expected both to be (blocks,) or (blocks, k), or norm to be (blocks, k, features) "
                "or (blocks, rows, k, features) and origin the same without features."
            )
        for name, tensor in (("norm", self.norm), ("origin", self.origin)):
            require_full_precision(name, tensor)
            require_finite(name, tensor)

    @classmethod
    def plain(cls, blocks: int) -> "Units":
        """One is one: the reference is the target itself, as an open-loop schedule wants it."""
        return cls(torch.ones(blocks), torch.zeros(blocks))

    @classmethod
    def shifts(cls, shifts: Float[Tensor, "blocks *rows k features"]) -> "Units":
        """Units without an origin: what one unit of each target asks of each observed number."""
        return cls(shifts, torch.zeros_like(shifts[..., 0]))

    def repeated(self, times: int) -> "Units":
        """The same with each row's units given to `times` rows; shared ones stay as they are."""
        if self.norm.ndim < 4:
            return self
        each = (tensor.repeat_interleave(times, dim=1) for tensor in (self.norm, self.origin))
        return Units(*each)

    def to(self, device: torch.device | str) -> "Units":
        """The same units on another device."""
        return Units(self.norm.to(device), self.origin.to(device))
