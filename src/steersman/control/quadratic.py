"""The quadratic barrier: every product of two coordinates, exactly."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.barrier import UnitBarrier
from steersman.control.checks import require_real, require_shape


@dataclass(frozen=True, eq=False)
class QuadraticBarrier(UnitBarrier):
    """`g(a) = a'M a + w'a + b` of the unit-norm state; every barrier of degree 2 is one.

    Args:
        M: `(n, n)`, symmetric, float32 or float64.
        w: `(n,)`, the same dtype and device.
        b: a tensor of no axes, likewise.

    Raises:
        ShapeError: the shapes are others.
        InputError: half precision.
        NumericalError: NaN or infinity.
    """

    M: Float[Tensor, "n n"]
    w: Float[Tensor, " n"]
    b: Float[Tensor, ""]

    def __post_init__(self) -> None:
        """Check the tensors."""
        require_shape("M", self.M, ("n", len(self.w)), ("n", len(self.w)))
        require_shape("w", self.w, ("n", self.w.numel()))
        require_shape("b", self.b)
        for name in ("M", "w", "b"):
            require_real(name, getattr(self, name))

    @classmethod
    def of_kernel(
        cls,
        examples: Float[Tensor, "examples n"],
        weights: Float[Tensor, " examples"],
        b: Float[Tensor, ""],
        gamma: float,
        coef0: float,
    ) -> "QuadraticBarrier":
        """`g(a) = sum_i weights_i (gamma a'x_i + coef0)^2 + b`, multiplied out.

        Args:
            examples: `x_i`, the unit-norm states that it was learnt from.
            weights: of each.
            b: the constant.
            gamma: of the kernel.
            coef0: of the kernel.
        """
        M = gamma**2 * examples.mT @ (weights.unsqueeze(1) * examples)
        w = 2 * gamma * coef0 * (weights @ examples)
        return cls((M + M.mT) / 2, w, b + coef0**2 * weights.sum())

    @property
    def n(self) -> int:
        """The width of the state."""
        return len(self.w)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the tensors."""
        return self.w.dtype

    def to(self, target: torch.device | str | torch.dtype) -> "QuadraticBarrier":
        """The same on another device or in another precision."""
        return replace(self, M=self.M.to(target), w=self.w.to(target), b=self.b.to(target))

    def score(self, a: Float[Tensor, "rows n"]) -> Float[Tensor, " rows"]:
        """`a'M a + w'a + b`."""
        return (torch.addmm(self.w, a, self.M) * a).sum(dim=1) + self.b

    def slope(self, a: Float[Tensor, "rows n"]) -> Float[Tensor, "rows n"]:
        """`2 M a + w`."""
        return torch.addmm(self.w, a, self.M, alpha=2)
