"""A checkpoint folder with changed weights, written file by file."""

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from steersman.compiling.change import changed, weight_of
from steersman.compiling.places import require_places
from steersman.errors import ArtifactError, MismatchError
from steersman.plant.biased import config_of, switch_on

if TYPE_CHECKING:
    from steersman.compiling.delta import WeightDelta

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx", ".ckpt")


def merge(delta: "WeightDelta", source: Path, target: Path) -> Path:
    """Write a copy of a checkpoint with the changed weights; one file of weights at a time.

    Args:
        delta: the change.
        source: the checkpoint's folder.
        target: a folder that does not exist or is empty.

    Raises:
        ArtifactError: there is no such checkpoint, or the folder cannot be written.
        MismatchError: it is of another model, or stores its weights under other names.
        CompilationError: no configuration of the architecture has the new biases.
    """
    if target.exists() and os.listdir(target):
        raise ArtifactError(f"{target} holds other things. Choose a new place or an empty one.")
    files = _files(source)
    stored = {name: file for file, names in files.items() for name in names}
    new = [name for name in delta.changes if name not in stored]
    _require_known(delta, stored, new, source)
    config = config_of(source)
    places = require_places(config, new)
    draft = target.parent / f".{target.name}.{uuid.uuid4().hex}"
    draft.mkdir(parents=True)
    try:
        _copy_others(source, draft)
        added = {**dict.fromkeys(new), **places.extra}
        written: dict[str, str] = {}
        for file, names in files.items():
            tensors, metadata = _changed_file(delta, source / file, names, added)
            save_file(tensors, draft / file, metadata=metadata)
            written |= dict.fromkeys(tensors, file)
        if (source / INDEX).exists():
            _write_index(source, draft, written)
        switch_on(config, places.switch, untied=delta.unties).save_pretrained(draft)
        if target.exists():
            target.rmdir()
        draft.rename(target)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{target} cannot be written: {error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _files(source: Path) -> dict[str, list[str]]:
    """The files of weights with the names that each holds."""
    try:
        if (source / INDEX).exists():
            table = json.loads((source / INDEX).read_text())["weight_map"]
            files = sorted(set(table.values()))
        else:
            files = [SINGLE]
        found = {}
        for file in files:
            with safe_open(source / file, framework="pt") as opened:
                found[file] = list(opened.keys())
        return found
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ArtifactError(
            f"{source} holds no checkpoint in safetensors ({error}): give a folder with "
            f"config.json and {SINGLE} or {INDEX}."
        ) from error


def _require_known(
    delta: "WeightDelta", stored: Mapping[str, str], new: list[str], source: Path
) -> None:
    strange = [name for name in new if name in delta.base.witness or weight_of(name) not in stored]
    if strange:
        raise MismatchError(
            f"{source} holds no {strange[0]}, so it stores its weights under other names than the "
            "loaded model, or is of another model. Load it, and save what `merged(model)` returns."
        )


def _changed_file(
    delta: "WeightDelta", path: Path, names: list[str], added: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What one file holds afterwards; a new bias stands beside its weight."""
    with safe_open(path, framework="pt") as opened:
        metadata = dict(opened.metadata() or {})
        tensors = {name: opened.get_tensor(name) for name in names}
    other = delta.base.differing(tensors)
    if other is not None:
        raise MismatchError(
            f"{other} in {path} is not what it was in {delta.base.name or 'the model'} that this "
            "change of weights is for. Give that model's checkpoint, or compile for this one."
        )
    if delta.unties and delta.base.tied is not None and delta.base.tied[0] in tensors:
        table, head = delta.base.tied
        tensors.setdefault(head, tensors[table].clone())
    for name, shape in added.items():
        beside = tensors.get(weight_of(name))
        if beside is None:
            continue
        if name in delta.changes:
            tensors[name] = changed(name, None, delta.changes[name], beside)
        else:
            tensors[name] = torch.zeros(shape, dtype=beside.dtype)
    for name in names:
        if name in delta.changes:
            tensors[name] = changed(name, tensors[name], delta.changes[name], tensors[name])
    return tensors, {"format": "pt", **metadata}


def _write_index(source: Path, draft: Path, written: Mapping[str, str]) -> None:
    index = json.loads((source / INDEX).read_text())
    index["weight_map"] = dict(sorted(written.items()))
    total = sum((draft / file).stat().st_size for file in set(written.values()))
    index.setdefault("metadata", {})["total_size"] = total
    (draft / INDEX).write_text(json.dumps(index, indent=2) + "\n")


def _copy_others(source: Path, draft: Path) -> None:
    """Everything of the folder that holds no weights: configurations, the tokenizer."""
    for path in sorted(source.iterdir()):
        if path.is_file() and path.name != INDEX and path.suffix.lower() not in _WEIGHTS:
            shutil.copy2(path, draft / path.name)
