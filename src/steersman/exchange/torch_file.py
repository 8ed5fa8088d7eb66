"""Files of `torch.save`, read as data: tensors and plain containers, never code."""

import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from steersman.errors import ArtifactError
from steersman.files import write_whole


def read_torch(path: Path, stand_ins: Sequence[tuple[type, str]] = ()) -> Any:
    """What a file of `torch.save` holds.

    The file is a pickle, which may name any function to be called while it is read. Only what makes
    tensors and plain containers is; everything else is refused before anything of it is run.

    Args:
        path: the file.
        stand_ins: classes of ours that objects are made of in place of other classes, by their full
            names. They must do nothing of their own.

    Raises:
        ArtifactError: the file cannot be read, or holds anything but data.
    """
    try:
        with torch.serialization.safe_globals(list(stand_ins)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ArtifactError(
            f"{path.name} holds more than tensors, or is no file of torch.save, and nothing of it "
            "was run. Where it was made, save the vectors alone: torch.save({block: vector}, path)."
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, AttributeError) as error:
        raise ArtifactError(
            f"{path.name} cannot be read as a file of torch.save: {error}."
        ) from error


def write_torch(content: Any, path: Path) -> Path:
    """Write tensors and plain containers, whole or not at all.

    Raises:
        InputError: it cannot be written there.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return write_whole(buffer.getvalue(), path)
