"""Plain data for JSON, which knows no number that is not finite: null stands for one."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import isfinite
from typing import Any

from torch import Tensor


def plain(value: Any) -> Any:
    """As JSON has it: what is not finite as null, dataclasses as objects, tensors as lists.

    Args:
        value: any of these, numbers and texts, in lists, tuples and mappings; keys become texts.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Tensor):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value


def without_null(entry: Any, unknown: float) -> Any:
    """Nested lists of numbers, with a number that is not finite in the place of each null.

    Args:
        entry: a number, null or a list of these.
        unknown: what null stands for: NaN, or infinity.
    """
    if isinstance(entry, list):
        return [without_null(one, unknown) for one in entry]
    return unknown if entry is None else entry
