"""`.svec` of IBM's activation-steering: JSON with `model_type` and `directions` by layer.

A direction is called by a 0-based layer k. It was read at the output of block k, but that tool adds
it to what enters block k, which is the output of block k - 1. Here it acts where it acted there, so
that a steering does the same: the direction of layer k becomes the vector of block k - 1. What is
added before block 0 has no place, and is left out with a warning.

Source:
    IBM/activation-steering: `steering_vector.py`, `leash_layer.py`.
"""

import json
import warnings
from pathlib import Path
from typing import Any

from steersman.errors import ArtifactError
from steersman.exchange.vectors import Vectors
from steersman.files import write_whole


def read(path: Path) -> Vectors:
    """The directions in a file, each behind the block in front of its layer.

    Warns where a direction of layer 0 is left out.

    Raises:
        ArtifactError: the file is no JSON, or has no directions.
        InputError: no direction is left, or one is not made of numbers.
    """
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path.name} cannot be read as JSON: {error}.") from error
    layers = found.get("directions") if isinstance(found, dict) else None
    if not isinstance(layers, dict) or not all(key.isdecimal() for key in layers):
        raise ArtifactError(f"{path.name} has no 'directions' by layer: it is no .svec file.")
    numbered = {int(key): one for key, one in layers.items()}
    if numbered.pop(0, None) is not None:
        warnings.warn(
            f"{path.name} has a direction for layer 0, which would act before block 0, where "
            "nothing can be added: it is left out.",
            stacklevel=2,
        )
    said = {"format": ".svec", "model_type": str(found.get("model_type", ""))}
    return Vectors.of({layer - 1: one for layer, one in numbered.items()}, said)


def write(vectors: Vectors, path: Path) -> Path:
    """Write the vector of block t as the direction of layer t + 1, at whose input it is added.

    A vector of the last block becomes that of a layer which the model does not have: no layer reads
    it, and that tool cannot use it.

    Raises:
        InputError: it cannot be written there.
    """
    layers = [block + 1 for block in vectors.blocks]
    content = {
        "model_type": vectors.said.get("model_type", ""),
        "directions": {str(k): vectors.by_block[k - 1].tolist() for k in layers},
        "explained_variances": {str(k): 0.0 for k in layers},
    }
    return write_whole(json.dumps(content, allow_nan=False), path)
