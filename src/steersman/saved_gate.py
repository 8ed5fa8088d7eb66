"""A gate as data, and back: the small part of a saved steering that says where it acts.

Conditions are a tree: `{"all": [...]}`, `{"any": [...]}`, `{"not": ...}` around single ones, whose
vectors are the rows of the tensor `conditions`, in order. A soft gate is the tensors `soft.w` and
`soft.b`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.engines import tokens_named
from steersman.errors import ArtifactError, InputError, SteersmanError
from steersman.gating import (
    AllOf,
    AnyOf,
    Found,
    Gate,
    Not,
    PromptCondition,
    Resembles,
    SimilarityName,
    SoftGate,
)
from steersman.gating.condition import Pool, Side
from steersman.store import read_fields

TENSOR = "conditions"
SOFT = ("soft.w", "soft.b")
_DEEPEST = 16
_AGAIN = "Save the steering again."


@dataclass(frozen=True)
class _Leaf:
    """What a single condition has beside its vector."""

    state: int
    threshold: float
    side: Side
    similarity: SimilarityName
    pool: Pool
    left_out: tuple[int, ...] = ()
    name: str = "condition"
    found: tuple[float, float, tuple[int, int], tuple[int, int]] | None = None


@dataclass(frozen=True)
class _Head:
    """What a gate has beside its condition."""

    tokens: str | None = None
    soft: str | None = None


def gate_data(gate: Gate) -> dict[str, Any]:
    """What the manifest says of a gate; nothing where it says nothing."""
    if not gate.sentence:
        return {}
    condition = None if gate.condition is None else _tree(gate.condition)
    soft = {} if gate.soft is None else {"soft": gate.soft.name}
    said = {"sentence": gate.sentence, "tokens": gate.tokens, "condition": condition}
    return {"gate": said | soft}


def gate_tensors(gate: Gate) -> dict[str, Float[Tensor, "..."]]:
    """The vectors of its conditions and the probe of its soft gate; nothing where it has none."""
    found: dict[str, Tensor] = {}
    if gate.condition is not None:
        found[TENSOR] = torch.stack([leaf.vector for leaf in gate.condition.leaves])
    if gate.soft is not None:
        found |= dict(zip(SOFT, (gate.soft.w, gate.soft.b), strict=True))
    return found


def read_gate(
    manifest: Mapping[str, Any], tensors: Mapping[str, Tensor], blocks: int, n: int
) -> Gate:
    """The gate in a manifest.

    Args:
        manifest: the whole of it.
        tensors: of the same artifact.
        blocks: how many the model has.
        n: width of its residual stream.

    Raises:
        ArtifactError: a field or a vector is missing or not what it should be; names it.
    """
    data = manifest.get("gate")
    if data is None:
        return Gate()
    head = _Head(**read_fields(_Head, data, "gate"))
    try:
        tokens = None if head.tokens is None else tokens_named(head.tokens).name
    except InputError as error:
        raise ArtifactError(f"'tokens' of gate: {error} {_AGAIN}") from error
    soft = None if head.soft is None else _soft(head.soft, tensors, blocks, n)
    if data.get("condition") is None:
        return Gate(tokens, soft=soft)
    vectors = tensors.get(TENSOR)
    if vectors is None or vectors.ndim != 2 or vectors.shape[1] != n:
        shape = None if vectors is None else tuple(vectors.shape)
        raise ArtifactError(f"{TENSOR!r} has shape {shape}; expected (conditions, {n}). {_AGAIN}")
    rows = iter(vectors)
    condition = _read(data["condition"], rows, 0)
    if next(rows, None) is not None:
        raise ArtifactError(f"{TENSOR!r} has more vectors than 'condition' of gate. {_AGAIN}")
    try:
        condition.require(blocks, n)
    except SteersmanError as error:
        raise ArtifactError(f"'condition' of gate: {error}") from error
    return Gate(tokens, condition, soft)


def _soft(name: str, tensors: Mapping[str, Tensor], blocks: int, n: int) -> SoftGate:
    """The soft gate of that name."""
    missing = [key for key in SOFT if key not in tensors]
    if missing:
        raise ArtifactError(f"'soft' of gate needs the tensors {', '.join(missing)}. {_AGAIN}")
    try:
        made = SoftGate(tensors[SOFT[0]], tensors[SOFT[1]], name)
        made.require(blocks, n)
    except SteersmanError as error:
        raise ArtifactError(f"'soft' of gate: {error} {_AGAIN}") from error
    return made


def _tree(condition: PromptCondition) -> dict[str, Any]:
    match condition:
        case AllOf(parts):
            return {"all": [_tree(part) for part in parts]}
        case AnyOf(parts):
            return {"any": [_tree(part) for part in parts]}
        case Not(part):
            return {"not": _tree(part)}
        case Resembles():
            names = _Leaf.__dataclass_fields__
            return {name: _plain(getattr(condition, name)) for name in names}
        case _:
            raise InputError(f"a {type(condition).__name__} cannot be saved: use conditions of sm.")


def _plain(value: Any) -> Any:
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def _read(data: Any, vectors: Iterator[Tensor], depth: int) -> PromptCondition:
    """One condition, its vectors taken in order."""
    if not isinstance(data, dict) or depth > _DEEPEST:
        raise ArtifactError(
            f"'condition' of gate is no object, or holds more than {_DEEPEST} in each other. "
            f"{_AGAIN}"
        )
    if "not" in data:
        return Not(_read(data["not"], vectors, depth + 1))
    for word, kind in (("all", AllOf), ("any", AnyOf)):
        if word in data:
            if not isinstance(data[word], list) or not data[word]:
                raise ArtifactError(f"{word!r} of a condition is no list of some. {_AGAIN}")
            return kind(tuple(_read(one, vectors, depth + 1) for one in data[word]))
    fields = read_fields(_Leaf, data, "condition of gate")
    found = fields.pop("found", None)
    vector = next(vectors, None)
    if vector is None:
        raise ArtifactError(f"{TENSOR!r} has fewer vectors than 'condition' of gate. {_AGAIN}")
    try:
        return Resembles(vector, **fields, found=None if found is None else Found(*found))
    except InputError as error:
        raise ArtifactError(f"'condition' of gate: {error} {_AGAIN}") from error
