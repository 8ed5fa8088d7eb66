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


def require_positive(name: str, value: float) -> None:
    """Raise `InputError` unless `value` is finite and above zero."""
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{name} is {value}; it must be finite and above zero.")
