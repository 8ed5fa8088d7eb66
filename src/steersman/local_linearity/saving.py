"""A frozen dataclass of tensors as JSON, and back."""

from math import nan
from pathlib import Path
from typing import Any

import torch

from steersman.jsonable import plain, without_null
from steersman.store import read_document, write_document

FORMAT = 1
SIGNATURE = "steersman linearity"
"""What the file says it is."""


def rebuilt(entry: Any) -> Any:
    """What stood in a field: lists of texts as tuples, of numbers as float64 tensors."""
    if not isinstance(entry, list):
        return entry
    if all(isinstance(one, str) for one in entry):
        return tuple(entry)
    return torch.tensor(without_null(entry, nan), dtype=torch.float64)


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
