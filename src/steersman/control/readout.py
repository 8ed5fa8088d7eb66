"""Features of a state, in natural units."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_full_precision, require_shape


@dataclass(frozen=True, eq=False)
class Readout:
    """`(V' x - origin) / norm`: 0 where undesired examples sit, 1 where desired ones do.

    Args:
        V: one direction a feature, `(n, features)`.
        norm: what one unit of each is worth, `(features,)`; a feature worth nothing reads zero.
        origin: each where undesired examples sit, `(features,)`.

    Raises:
        ShapeError: the tensors do not belong together.
        InputError: half precision.
    """

    V: Float[Tensor, "n features"]
    norm: Float[Tensor, " features"]
    origin: Float[Tensor, " features"]

    def __post_init__(self) -> None:
        """Check that the tensors belong together."""
        for name in ("norm", "origin"):
            require_shape(name, getattr(self, name), ("features", self.V.shape[-1]))
        require_full_precision("V", self.V)

    def __call__(self, x: Float[Tensor, "rows n"]) -> Float[Tensor, "rows features"]:
        """The features of every row."""
        raw = x.to(self.V.dtype) @ self.V - self.origin
        return torch.where(self.norm > 0, raw / self.norm, torch.zeros_like(raw))

    def to(self, device: torch.device | str) -> "Readout":
        """The same on another device."""
        return Readout(self.V.to(device), self.norm.to(device), self.origin.to(device))
