"""A frozen dataclass of tensors as JSON, and back."""

import json
from dataclasses import fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor

from steersman.errors import ArtifactError, InputError

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
    path = Path(path)
    content = {"kind": SIGNATURE, "format": FORMAT, **plain(value)}
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}.") from error
    finally:
        draft.unlink(missing_ok=True)
    return path


def read_json(path: str | Path) -> dict[str, Any]:
    """The object that `write_json` wrote, without its kind and format.

    Raises:
        ArtifactError: no such file, or it holds something else.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(found, dict) or found.pop("kind", None) != SIGNATURE:
        raise ArtifactError(f"{path} is no measurement of local linearity.")
    if found.pop("format", None) != FORMAT:
        raise ArtifactError(f"{path} has another format than {FORMAT}: update steersman.")
    return found


def _known(entry: Any) -> Any:
    """Numbers, with NaN for null."""
    if isinstance(entry, list):
        return [_known(one) for one in entry]
    return float("nan") if entry is None else float(entry)
