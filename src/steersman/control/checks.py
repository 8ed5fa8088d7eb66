"""Argument checks shared by this package: each says what was found and what to do."""

import math

import torch
from torch import Tensor

from steersman.errors import InputError, NumericalError, ShapeError


def require_shape(name: str, tensor: Tensor, *expected: tuple[str, int]) -> None:
    """Raise `ShapeError` unless `tensor` has the named sizes, e.g. `("blocks", 6), ("n", 8)`."""
    if tuple(tensor.shape) != tuple(size for _, size in expected):
        wanted = ", ".join(f"{axis}={size}" for axis, size in expected)
        raise ShapeError(f"{name} has shape {tuple(tensor.shape)}; expected ({wanted}).")


def require_full_precision(name: str, tensor: Tensor) -> None:
    """Raise `InputError` unless `tensor` is float32 or float64."""
    if tensor.dtype not in (torch.float32, torch.float64):
        raise InputError(
            f"{name} has dtype {tensor.dtype}; control is computed in float32 or float64. "
            "Convert it with .float()."
        )


def require_finite(name: str, tensor: Tensor) -> None:
    """Raise `NumericalError` when `tensor` holds NaN or infinity."""
    if not bool(torch.isfinite(tensor).all()):
        bad = int((~torch.isfinite(tensor)).sum())
        raise NumericalError(f"{name} has {bad} NaN or infinite values of {tensor.numel()}.")


def require_real(name: str, tensor: Tensor) -> None:
    """Raise unless `tensor` is float32 or float64, without NaN or infinity."""
    require_full_precision(name, tensor)
    require_finite(name, tensor)


def require_pair(H: Tensor, G: Tensor, *axes: str) -> None:
    """Raise unless `H` and `G` are two usable tensors of one shape, with these axes."""
    if H.ndim != len(axes) or H.shape != G.shape or 0 in H.shape:
        raise ShapeError(
            f"H has shape {tuple(H.shape)} and G {tuple(G.shape)}; "
            f"expected both to be ({', '.join(axes)})."
        )
    if (H.dtype, H.device) != (G.dtype, G.device):
        raise InputError(
            f"H is {H.dtype} on {H.device} and G is {G.dtype} on {G.device}; give both one dtype "
            "and device."
        )
    for name, tensor in (("H", H), ("G", G)):
        require_real(name, tensor)


def require_blocks(active: tuple[int, ...] | None, blocks: int) -> None:
    """Raise `InputError` where `active` names a block that does not exist."""
    wrong = sorted(set(active or ()) - set(range(blocks)))
    if wrong:
        raise InputError(f"active names blocks {wrong}; there are 0 .. {blocks - 1}.")


def require_positive(name: str, value: float) -> None:
    """Raise `InputError` unless `value` is finite and above zero."""
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{name} is {value}; it must be finite and above zero.")
