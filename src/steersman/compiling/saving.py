"""A change of weights on disk: tensors in safetensors, the rest in versioned JSON.

delta.safetensors   `NAME` for `D`; `NAME:left`, `NAME:right` for `L R`; `witness` of the model
delta.json          what it is, of which model, and the names that `witness` has in its rows
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load as deserialize
from safetensors.torch import save as serialize
from torch import Tensor

from steersman.compiling.base import Base
from steersman.compiling.change import Change, Dense, LowRank
from steersman.errors import ArtifactError, InputError
from steersman.files import write_whole
from steersman.plant.witness import ENTRIES
from steersman.store import read_document, write_document

TENSORS, MANIFEST = "delta.safetensors", "delta.json"
_KIND, _VERSION, _WITNESS = "steersman weight delta", 1, "witness"


class Parts(NamedTuple):
    """What a change of weights is made of, in the order of its fields."""

    changes: dict[str, Change]
    base: Base
    exact: bool
    reason: str
    method: str


def save(delta: Any, folder: Path) -> Path:
    """Write a change of weights.

    Args:
        delta: a `WeightDelta`.
        folder: a folder that does not exist, is empty, or holds an earlier one.

    Raises:
        ArtifactError: it holds other things or cannot be written.
    """
    if folder.exists() and os.listdir(folder) and not (folder / MANIFEST).exists():
        raise ArtifactError(f"{folder} holds other things. Choose a new place or an empty one.")
    base: Base = delta.base
    seen = [name for name, entries in base.witness.items() if entries.numel()]
    tensors = {_WITNESS: torch.stack([base.witness[name] for name in seen])} if seen else {}
    for name, change in delta.changes.items():
        if isinstance(change, Dense):
            tensors[name] = change.added.detach().cpu().contiguous()
        else:
            tensors[f"{name}:left"] = change.left.detach().cpu().contiguous()
            tensors[f"{name}:right"] = change.right.detach().cpu().contiguous()
    content = {
        "method": delta.method,
        "exact": delta.exact,
        "reason": delta.reason,
        "changes": {
            name: "dense" if isinstance(change, Dense) else "low-rank"
            for name, change in delta.changes.items()
        },
        "model": {
            "name": base.name,
            "model_type": base.model_type,
            "fingerprint": base.fingerprint,
            "dtype": base.dtype,
            "tied": base.tied,
            "parameters": seen,
            "offloaded": [name for name in base.witness if name not in set(seen)],
        },
    }
    try:
        write_whole(serialize({k: v.clone() for k, v in tensors.items()}), folder / TENSORS)
        write_document(_KIND, _VERSION, content, folder / MANIFEST)
    except InputError as error:
        raise ArtifactError(str(error)) from error
    return folder


def load(folder: Path) -> Parts:
    """Read a change of weights.

    Raises:
        ArtifactError: truncated, malformed, or of a newer format.
    """
    found = read_document(_KIND, _VERSION, folder / MANIFEST, "change of weights")
    try:
        tensors = deserialize((folder / TENSORS).read_bytes())
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{folder / TENSORS} cannot be read: {error}.") from error
    try:
        model, kinds = found["model"], found["changes"]
        changes = {str(name): _change(tensors, name, kind) for name, kind in kinds.items()}
        return Parts(
            changes,
            _base(model, tensors),
            bool(found["exact"]),
            str(found["reason"]),
            str(found["method"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ArtifactError(
            f"{folder} is no complete change of weights ({type(error).__name__}: {error}). Save it "
            "again."
        ) from error


def _base(model: dict[str, Any], tensors: dict[str, Tensor]) -> Base:
    names, none = model["parameters"], torch.empty(0, dtype=torch.float64)
    rows = tensors[_WITNESS] if names else none.reshape(0, ENTRIES)
    tied = model["tied"]
    return Base(
        name=str(model["name"]),
        model_type=str(model["model_type"]),
        fingerprint=str(model["fingerprint"]),
        dtype=str(model["dtype"]),
        tied=None if tied is None else (str(tied[0]), str(tied[1])),
        witness={
            **dict(zip(names, rows, strict=True)),
            **{str(name): none for name in model["offloaded"]},
        },
    )


def _change(tensors: dict[str, Tensor], name: str, kind: str) -> Change:
    found: Change
    if kind == "dense":
        found = Dense(tensors[name])
    elif kind == "low-rank":
        found = LowRank(tensors[f"{name}:left"], tensors[f"{name}:right"])
    else:
        raise ValueError(f"{name} is {kind!r}")
    parts = (found.added,) if isinstance(found, Dense) else (found.left, found.right)
    if not all(bool(part.isfinite().all()) for part in parts):
        raise ValueError(f"{name} holds NaN or infinity")
    return found
