"""What is added to one parameter."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.errors import MismatchError, ShapeError


@dataclass(frozen=True, eq=False)
class Dense:
    """`W + D`, or a new parameter `D` where there is none.

    Args:
        added: `D`, in the parameter's own layout.
    """

    added: Float[Tensor, "..."]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the parameter."""
        return tuple(self.added.shape)

    def full(self) -> Float[Tensor, "..."]:
        """`D`."""
        return self.added


@dataclass(frozen=True, eq=False)
class LowRank:
    """`W + L R`; an axis of experts may lie in front of the two that are multiplied.

    Args:
        left: `L`, `(*experts, rows, k)`.
        right: `R`, `(*experts, k, columns)`.

    Raises:
        ShapeError: the two cannot be multiplied.
    """

    left: Float[Tensor, "*left rows k"]
    right: Float[Tensor, "*right k columns"]

    def __post_init__(self) -> None:
        """Check that the factors belong together."""
        if self.left.ndim < 2 or self.right.ndim < 2 or self.left.shape[-1] != self.right.shape[-2]:
            raise ShapeError(
                f"factors of shape {tuple(self.left.shape)} and {tuple(self.right.shape)} cannot "
                "be multiplied."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the parameter."""
        fronts = (self.left.shape[:-2], self.right.shape[:-2])
        longest = max(fronts, key=len)  # experts stand in front of one factor or of both
        return (*longest, self.left.shape[-2], self.right.shape[-1])

    def full(self) -> Float[Tensor, "..."]:
        """`L R`."""
        return self.left @ self.right


Change = Dense | LowRank


def changed(
    name: str, old: Float[Tensor, "..."] | None, change: Change, like: Tensor | None
) -> Float[Tensor, "..."]:
    """The parameter with its change, worked out in float32 or better and rounded once.

    Args:
        name: of the parameter, for messages.
        old: as it is; None where it is new.
        change: what is added.
        like: whose precision and device a new one gets.

    Raises:
        MismatchError: the parameter has another shape, or is no plain floating-point tensor.
    """
    if old is None:
        if like is None:
            raise MismatchError(f"{name} is new and has no weight beside it.")
        return change.full().to(like.device, like.dtype).contiguous().clone()
    if not old.is_floating_point() or old.dtype.itemsize < 2 or old.device.type == "meta":
        raise MismatchError(
            f"{name} is {old.dtype} on {old.device.type}, not a plain floating-point weight at "
            "hand: compile and merge with the model loaded unquantised and not offloaded."
        )
    if tuple(old.shape) != change.shape:
        raise MismatchError(
            f"{name} has shape {tuple(old.shape)}; the change is for {change.shape}. It was "
            "compiled for another model."
        )
    added = change.full()
    wide = torch.promote_types(old.dtype, torch.promote_types(added.dtype, torch.float32))
    return (old.to(wide) + added.to(old.device, wide)).to(old.dtype)


def weight_of(bias: str) -> str:
    """The name of the weight beside a bias."""
    return f"{bias.removesuffix('bias')}weight"
