"""steering-vectors: `layer_activations`, a tensor for each layer.

Layer k is the 0-based decoder block k, and its tensor is added to that block's output. The package
has no format of its own: people save the `SteeringVector`, or its tensors, with `torch.save`. Here
both are read, the object as data: its class is neither imported nor called. What is written is the
plain `{layer: tensor}`, for `SteeringVector(torch.load(path, weights_only=True))`.

Source:
    steering-vectors/steering-vectors: `steering_vector.py`.
"""

from pathlib import Path
from typing import Any

from steersman.errors import ArtifactError, InputError
from steersman.exchange.torch_file import write_torch
from steersman.exchange.vectors import Vectors

_BLOCK_OUTPUT = "decoder_block"


class Saved:
    """Stands for a saved `SteeringVector`: its fields, and nothing that it could do."""


STAND_INS = ((Saved, "steering_vectors.steering_vector.SteeringVector"),)


def of_layers(found: Any, path: Path) -> Vectors:
    """The vectors of a saved `SteeringVector` or of its tensors.

    Args:
        found: what the file holds.
        path: the file.

    Raises:
        ArtifactError: it holds something else.
        InputError: the vectors are not of block outputs.
    """
    content = vars(found) if isinstance(found, Saved) else found
    if not isinstance(content, dict):
        raise ArtifactError(
            f"{path.name} holds a {type(content).__name__}; expected a vector, or vectors by layer."
        )
    kind = str(content.get("layer_type", _BLOCK_OUTPUT))
    if kind != _BLOCK_OUTPUT:
        raise InputError(
            f"the vectors of {path.name} are for {kind!r} layers; only those of block outputs, "
            f"{_BLOCK_OUTPUT!r}, can be added to the residual stream there."
        )
    layers = content.get("layer_activations", content)
    if not isinstance(layers, dict):
        raise ArtifactError(f"'layer_activations' of {path.name} is no mapping of layers.")
    return Vectors.of(layers, {"format": "steering-vectors"})


def write(vectors: Vectors, path: Path) -> Path:
    """Write `{layer: tensor}`.

    Raises:
        InputError: it cannot be written there.
    """
    return write_torch({block: vectors.by_block[block] for block in vectors.blocks}, path)
