"""A frozen dataclass of tensors as JSON, and back."""

from dataclasses import fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from steersman.store import read_document, write_document

FORMAT = 1
SIGNATURE = "steersman linearity"
"""What the file says it is."""


def plain(value: Any) -> Any:
    """Dataclasses as objects, tensors as nested lists, what is not finite as null."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Tensor):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value


def rebuilt(entry: Any) -> Any:
    """What stood in a field: lists of texts as tuples, of numbers as float64 tensors."""
    if not isinstance(entry, list):
        return entry
    if all(isinstance(one, str) for one in entry):
        return tuple(entry)
    return torch.tensor(_known(entry), dtype=torch.float64)


def write_json(value: Any, path: str | Path) -> Path:
    """Write a dataclass whole or not at all.

    Args:
        value: it.
        path: where to; folders that do not exist are made.

    Raises:
        InputError: it cannot be written there; what was there before is untouched.
    """
    return write_document(SIGNATURE, FORMAT, plain(value), Path(path))


def read_json(path: str | Path) -> dict[str, Any]:
    """The object that `write_json` wrote, without its kind and format.

    Raises:
        ArtifactError: no such file, or it holds something else.
    """
    return read_document(SIGNATURE, FORMAT, Path(path), "measurement of local linearity")


def _known(entry: Any) -> Any:
    """Numbers, with NaN for null."""
    if isinstance(entry, list):
        return [_known(one) for one in entry]
    return float("nan") if entry is None else float(entry)
