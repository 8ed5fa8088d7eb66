"""Files that are written whole or not at all."""

from pathlib import Path
from uuid import uuid4

from steersman.errors import InputError


def write_whole(content: str | bytes, path: Path, what: str = "") -> Path:
    """Write a file beside its place and put it there in one step.

    Args:
        content: bytes, or a text to be written as UTF-8.
        path: where to; folders that do not exist are made.
        what: which file it is, for messages.

    Returns:
        The path.

    Raises:
        InputError: it cannot be written there; what was there before is untouched.
    """
    data = content.encode() if isinstance(content, str) else content
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.write_bytes(data)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        called = f"{what} {path}".strip()
        raise InputError(f"cannot write {called}: {error.strerror or error}.") from error
    return path
