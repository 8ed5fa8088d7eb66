"""A barrier: one number that says how desired a state is, and which way it grows."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_real, require_shape


class Barrier(ABC):
    """`h(x) = log p+(x) / p-(x)`: how much likelier a state is among the desired ones.

    It is positive where the state looks desired, negative where it looks undesired, and zero on the
    line between. No row influences another.
    """

    @property
    @abstractmethod
    def n(self) -> int:
        """The width of the state."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The precision of its tensors."""

    @abstractmethod
    def to(self, target: torch.device | str | torch.dtype) -> "Barrier":
        """The same barrier on another device or in another precision.

        Args:
            target: the device or the precision.
        """

    @abstractmethod
    def value(self, x: Float[Tensor, "rows n"]) -> Float[Tensor, " rows"]:
        """`h(x)` of each row."""

    @abstractmethod
    def gradient(self, x: Float[Tensor, "rows n"]) -> Float[Tensor, "rows n"]:
        """`grad h(x)` of each row."""

    def velocity(self, x: Float[Tensor, "rows n"]) -> Float[Tensor, "rows n"]:
        """`grad h / |grad h|` of each row; zero where the gradient is."""
        return unit(self.gradient(x))


class UnitBarrier(Barrier):
    """A barrier of where a state points, whatever its length: `h(x) = g(a)` with `a = x / |x|`.

        grad h = (I - a a') grad g(a) / |x|

    The gradient is at a right angle to the state. States of length zero have none: there the value
    is `g(0)` and the velocity that of `g`.
    """

    @abstractmethod
    def score(self, a: Float[Tensor, "rows n"]) -> Float[Tensor, " rows"]:
        """`g(a)` of each row."""

    @abstractmethod
    def slope(self, a: Float[Tensor, "rows n"]) -> Float[Tensor, "rows n"]:
        """`grad g(a)` of each row, as if `a` were free to have any length."""

    def value(self, x: Float[Tensor, "rows n"]) -> Float[Tensor, " rows"]:
        """`g(x / |x|)`."""
        return self.score(unit(x))

    def gradient(self, x: Float[Tensor, "rows n"]) -> Float[Tensor, "rows n"]:
        """`(I - a a') grad g(a) / |x|`."""
        along: Tensor = self._tangent(x) / x.norm(dim=1, keepdim=True)
        return along

    def velocity(self, x: Float[Tensor, "rows n"]) -> Float[Tensor, "rows n"]:
        """The same at length one, for which the length of the state does not matter."""
        return unit(self._tangent(x))

    def _tangent(self, x: Float[Tensor, "rows n"]) -> Float[Tensor, "rows n"]:
        a = unit(x)
        slope = self.slope(a)
        return torch.addcmul(slope, a, (a * slope).sum(dim=1, keepdim=True), value=-1)


@dataclass(frozen=True, eq=False)
class LinearBarrier(UnitBarrier):
    """`g(a) = w'a + b`: one vector everywhere is its gradient, less what of it is along the state.

    Args:
        w: which way, `(n,)`, float32 or float64.
        b: the value at a right angle to it, a tensor of no axes.

    Raises:
        ShapeError: they have other axes.
        InputError: half precision.
        NumericalError: NaN or infinity.
    """

    w: Float[Tensor, " n"]
    b: Float[Tensor, ""]

    def __post_init__(self) -> None:
        """Check the tensors."""
        require_shape("w", self.w, ("n", self.w.numel()))
        require_shape("b", self.b)
        require_real("w", self.w)
        require_real("b", self.b)

    @property
    def n(self) -> int:
        """The width of the state."""
        return len(self.w)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of `w`."""
        return self.w.dtype

    def to(self, target: torch.device | str | torch.dtype) -> "LinearBarrier":
        """The same on another device or in another precision."""
        return replace(self, w=self.w.to(target), b=self.b.to(target))

    def score(self, a: Float[Tensor, "rows n"]) -> Float[Tensor, " rows"]:
        """`w'a + b`."""
        return a @ self.w + self.b

    def slope(self, a: Float[Tensor, "rows n"]) -> Float[Tensor, "rows n"]:
        """`w`."""
        return self.w.expand_as(a)


def unit(x: Float[Tensor, "rows n"]) -> Float[Tensor, "rows n"]:
    """Each row at length one; a row of zeros as it is."""
    length: Tensor = x.norm(dim=1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    return x / length
