"""A bound as one JSON file, and back: numbers, and which steering they are of."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from steersman.bounding.attachment import Attachment, TokensOfBound
from steersman.bounding.calibration import Calibration
from steersman.bounding.foresight import Foresight
from steersman.control import Remainder
from steersman.errors import ArtifactError, InputError, MismatchError, ShapeError
from steersman.jsonable import plain, without_null
from steersman.methods import ExecutionName
from steersman.steering import Steering
from steersman.store import read_document, read_fields, write_document

FORMAT = 1
SIGNATURE = "steersman bound"
"""What the file says it is."""

_REMAINDER = ("mismatch", "curvature", "disturbance", "sector")


@dataclass(frozen=True)
class Head:
    """What a bound is besides its tensors.

    Args:
        steering: fingerprint of the steering's tensors.
        target: as it was attached.
        execution: likewise.
        tokens: likewise.
        feature: which one the bound is of.
        prompts: fingerprints of the calibration prompts.
        new_tokens: the tokens that it is for.
        level: of the conformal bands.
        safety: the factor on the worst of what was seen.
    """

    steering: str
    target: float | dict[str, float]
    execution: ExecutionName | None
    tokens: TokensOfBound
    feature: str
    prompts: tuple[str, ...]
    new_tokens: int
    level: float
    safety: float


def written_bound(
    attachment: Attachment,
    foresight: Foresight,
    calibration: Calibration,
    head: Mapping[str, int | float],
    path: Path,
) -> Path:
    """Write the parts of a bound.

    Args:
        attachment: how the steering is attached; its prediction is kept, its plant is not.
        foresight: how far errors carry.
        calibration: what the calibration prompts showed.
        head: `new_tokens`, `level` and `safety`.
        path: where to.

    Raises:
        InputError: it cannot be written there.
    """
    target = attachment.target
    content: dict[str, Any] = {
        "steering": _fingerprint(attachment.steering),
        "target": dict(target) if isinstance(target, Mapping) else target,
        "execution": attachment.execution,
        "tokens": attachment.tokens,
        "feature": attachment.name,
        "prompts": sorted(calibration.prompts),
        **head,
    }
    tensors = {
        "predicted": attachment.predicted,
        "scale": foresight.scale,
        "counted": foresight.counted.double(),
        "state_radius": foresight.state_radius,
        "radius": foresight.radius,
        "errors": calibration.errors,
        "work": calibration.work,
        "signed": calibration.signed,
        **{name: getattr(calibration.remainder, name, None) for name in _REMAINDER},
    }
    content["tensors"] = {name: plain(one) for name, one in tensors.items()}
    return write_document(SIGNATURE, FORMAT, content, path)


def read_bound(path: Path, steering: Steering) -> tuple[Attachment, Foresight, Calibration, Head]:
    """Read the parts of a bound.

    Args:
        path: the file.
        steering: that was bounded.

    Raises:
        ArtifactError: no such file, or one that holds something else.
        MismatchError: it is the bound of another steering.
    """
    found = read_document(SIGNATURE, FORMAT, path, "bound of a steering")
    head = Head(**read_fields(Head, found, str(path)))
    if head.steering != _fingerprint(steering):
        raise MismatchError(
            f"{path} is the bound of another steering: give the very one that was bounded."
        )
    tensors = _Tensors(found.get("tensors"), steering, path)
    try:
        attachment = Attachment(
            steering,
            None,
            head.target,
            head.execution,
            head.tokens,
            head.feature,
            tensors("predicted", "states", "n"),
        )
        return attachment, _foresight(tensors), _calibration(tensors, head), head
    except (InputError, ShapeError) as error:
        raise ArtifactError(f"{path} holds no bound that can be: {error}") from error


class _Tensors:
    """The tensors of a file by name, each checked against the shape that it has to have."""

    def __init__(self, found: object, steering: Steering, path: Path) -> None:
        if not isinstance(found, dict):
            raise ArtifactError(f"{path} holds no tensors.")
        self._found, self._path = found, path
        made = steering.provenance
        self.sizes: dict[str, int | None] = {
            "blocks": made.blocks,
            "states": made.blocks + 1,
            "n": made.n,
            "prompts": None,
        }

    def maybe(self, name: str, *axes: str) -> Tensor | None:
        """One that need not be there; null within it is infinite."""
        return None if self._found.get(name) is None else self(name, *axes)

    def __call__(self, name: str, *axes: str) -> Tensor:
        """One that has to be there."""
        try:
            found = torch.tensor(without_null(self._found.get(name), inf), dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ArtifactError(f"{name!r} of {self._path} is no table of numbers.") from error
        expected = [self.sizes[axis] for axis in axes]
        same = found.ndim == len(axes) and all(
            size in (None, other) for size, other in zip(expected, found.shape, strict=True)
        )
        if not same:
            raise ArtifactError(
                f"{name!r} of {self._path} has shape {tuple(found.shape)}; expected "
                f"({', '.join(axes)})."
            )
        if axes[0] == "prompts":
            self.sizes["prompts"] = len(found)
        return found


def _foresight(tensors: _Tensors) -> Foresight:
    return Foresight(
        scale=tensors("scale", "states"),
        counted=tensors("counted", "states") > 0,
        state_radius=tensors.maybe("state_radius", "states"),
        radius=tensors.maybe("radius", "states"),
    )


def _calibration(tensors: _Tensors, head: Head) -> Calibration:
    parts = {name: tensors.maybe(name, "blocks") for name in _REMAINDER}
    mismatch, curvature = parts["mismatch"], parts["curvature"]
    remainder = None
    if mismatch is not None and curvature is not None:
        remainder = Remainder(mismatch, curvature, parts["disturbance"], parts["sector"])
    return Calibration(
        errors=tensors("errors", "prompts", "states"),
        work=tensors("work", "prompts", "blocks", "states"),
        signed=tensors("signed", "prompts", "blocks"),
        remainder=remainder,
        prompts=frozenset(head.prompts),
    )


def _fingerprint(steering: Steering) -> str:
    """SHA-256 of the tensors as they are saved, so that loading changes nothing."""
    found = hashlib.sha256()
    for name, tensor in sorted(steering.to_artifact().tensors.items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return found.hexdigest()
