"""A JSON file that says what it is, written whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steersman.errors import ArtifactError
from steersman.files import write_whole


def write_document(kind: str, version: int, content: Mapping[str, Any], path: Path) -> Path:
    """Write plain data.

    Args:
        kind: what the file says it is.
        version: of its format.
        content: finite numbers, texts, lists and objects.
        path: where to; folders that do not exist are made.

    Raises:
        InputError: it cannot be written there; what was there before is untouched.
    """
    text = json.dumps({"kind": kind, "format": version, **content}, allow_nan=False)
    return write_whole(text, path)


def read_document(kind: str, version: int, path: Path, what: str) -> dict[str, Any]:
    """What `write_document` wrote, without its kind and format.

    Args:
        kind: what the file has to say that it is.
        version: the format that is read.
        path: the file.
        what: what such a file is called, for messages.

    Raises:
        ArtifactError: no such file, or it holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(found, dict) or found.pop("kind", None) != kind:
        raise ArtifactError(f"{path} is no {what}.")
    if found.pop("format", None) != version:
        raise ArtifactError(f"{path} has another format than {version}: update steersman.")
    return found
