"""What the three files of a saved steering hold, as bytes.

    steering.safetensors   tensors, float32
    steering.json          format version, everything that is not a tensor, and what the tensors
                           file must be: its length, its SHA-256, each tensor's shape and dtype
    README.md              the card; for people, never read back for its meaning

Unknown keys in the JSON are tolerated, so a later version may add some; one that changes what a
key or a tensor means raises `FORMAT_VERSION`, and earlier versions then refuse the file.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError, deserialize
from safetensors.torch import save as serialize
from torch import Tensor

from steersman.errors import ArtifactError

FORMAT_VERSION = 2
TENSORS, MANIFEST, CARD = "steering.safetensors", "steering.json", "README.md"
FILES = (TENSORS, CARD, MANIFEST)
"""All that is ever written or opened; the manifest, which vouches for the tensors, comes last."""

_OURS = ("format_version", "tensors")
_MAY_BE_INFINITE = "separation_se"
"""The error of a separation that could not be measured; nothing is NaN, nothing else infinite."""


@dataclass(frozen=True, eq=False)
class Artifact:
    """A steering as data.

    Args:
        tensors: by name; saved in float32.
        manifest: plain data for `steering.json`; the format version and the table of tensors are
            added when it is saved and taken off when it is loaded.
        card: the text of `README.md`.
    """

    tensors: dict[str, Float[Tensor, "..."]]
    manifest: dict[str, Any]
    card: str


def encode(artifact: Artifact) -> dict[str, bytes]:
    """The three files of an artifact.

    Raises:
        ArtifactError: an empty tensor, NaN or infinity, or something JSON cannot hold.
    """
    tensors = {
        name: tensor.detach().to("cpu", torch.float32).contiguous().clone()
        for name, tensor in sorted(artifact.tensors.items())
    }
    for name, tensor in tensors.items():
        _require_sound(name, tensor, "this steering")
    data = serialize(tensors)
    described = {
        "format_version": FORMAT_VERSION,
        **{key: value for key, value in artifact.manifest.items() if key not in _OURS},
        "tensors": {
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "table": {name: _row(tensor) for name, tensor in tensors.items()},
        },
    }
    try:
        text = json.dumps(described, indent=2, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(f"this steering cannot be written as JSON: {error}.") from error
    # A lone surrogate in a name must not make a steering impossible to save.
    card = artifact.card.encode(errors="replace")
    return {TENSORS: data, CARD: card, MANIFEST: text.encode() + b"\n"}


def decode(files: Mapping[str, bytes], where: str) -> Artifact:
    """The artifact in three files; the card may be missing.

    Args:
        files: their contents by name.
        where: the folder or repository, for messages.

    Raises:
        ArtifactError: not JSON, of a newer format, truncated or changed since it was saved, other
            tensors than described, NaN or infinity.
    """
    manifest = _parsed(files[MANIFEST], f"{MANIFEST} in {where}")
    _require_version(manifest.pop("format_version", None), where)
    described = manifest.pop("tensors", None)
    if not isinstance(described, dict):
        raise ArtifactError(f"{MANIFEST} in {where} does not describe its tensors; save it again.")
    data = files[TENSORS]
    _require_same(data, described, where)
    tensors = _read(data, where)
    _require_table(tensors, described.get("table"), where)
    return Artifact(tensors, manifest, files.get(CARD, b"").decode(errors="replace"))


def _parsed(data: bytes, what: str) -> dict[str, Any]:
    try:
        # An explicit encoding: left to itself, json guesses UTF-16 and UTF-32 as well.
        found = json.loads(data.decode(), parse_constant=_not_json, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{what} is not valid JSON ({error}): it was cut short or changed. Fetch or save the "
            "steering again."
        ) from error
    if not isinstance(found, dict):
        raise ArtifactError(f"{what} holds a {type(found).__name__}; expected an object.")
    return found


def _not_json(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _not_json(digits)


def _require_version(version: object, where: str) -> None:
    if type(version) is not int or version < 1:
        raise ArtifactError(
            f"{MANIFEST} in {where} has format_version {version!r}; expected a whole number from 1 "
            "on. Is this a saved steering?"
        )
    if version < FORMAT_VERSION:
        raise ArtifactError(
            f"{where} has format version {version}, of an earlier steersman; this one reads "
            f"{FORMAT_VERSION}. Fit the steering again."
        )
    if version > FORMAT_VERSION:
        raise ArtifactError(
            f"{where} has format version {version}; this steersman reads {FORMAT_VERSION}. "
            "Run: pip install -U steersman"
        )


def _require_same(data: bytes, described: dict[str, Any], where: str) -> None:
    length, digest = described.get("bytes"), described.get("sha256")
    if length != len(data):
        raise ArtifactError(
            f"{TENSORS} in {where} has {len(data)} bytes, {length!r} were saved: it was cut short "
            "or changed. Fetch or save the steering again."
        )
    found = hashlib.sha256(data).hexdigest()
    if digest != found:
        raise ArtifactError(
            f"{TENSORS} in {where} has SHA-256 {found[:16]}..., {MANIFEST} says {digest!r}: one of "
            "them was changed after it was saved. Fetch or save the steering again."
        )


def _require_table(tensors: dict[str, Tensor], table: object, where: str) -> None:
    found = {name: _row(tensor) for name, tensor in tensors.items()}
    said = table if isinstance(table, dict) else {}
    wrong = sorted(name for name in found | said if found.get(name) != said.get(name))
    if wrong:
        raise ArtifactError(
            f"{TENSORS} and {MANIFEST} in {where} disagree about {', '.join(wrong)}: they do not "
            "belong together. Save the steering again."
        )


def _read(data: bytes, where: str) -> dict[str, Tensor]:
    try:
        entries = deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise ArtifactError(
            f"{TENSORS} in {where} is not a safetensors file ({error}). Fetch or save the steering "
            "again."
        ) from error
    tensors = {}
    for name, entry in entries:
        if entry["dtype"] != "F32" or not entry["data"]:
            raise ArtifactError(
                f"{name!r} in {where} is {entry['dtype']} of shape {entry['shape']}; a steering "
                "holds float32 tensors that are not empty. Save it again with steersman."
            )
        flat = torch.frombuffer(bytearray(entry["data"]), dtype=torch.float32)
        tensors[name] = flat.reshape(entry["shape"])
        _require_sound(name, tensors[name], where)
    return dict(sorted(tensors.items()))


def _require_sound(name: str, tensor: Tensor, where: str) -> None:
    if not tensor.numel():
        raise ArtifactError(f"{name!r} in {where} is empty, of shape {tuple(tensor.shape)}.")
    bad = tensor.isnan() if name == _MAY_BE_INFINITE else ~tensor.isfinite()
    if bool(bad.any()):
        raise ArtifactError(
            f"{name!r} in {where} holds NaN or infinity and would break what it steers. Fit it "
            "again, with the model in float32 or bfloat16 rather than float16."
        )


def _row(tensor: Tensor) -> dict[str, Any]:
    return {"shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}
