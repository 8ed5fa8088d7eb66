"""A folder of steerings that lie ready to be loaded, whatever else somebody has put there."""

import os
import stat
from pathlib import Path

from steersman.errors import InputError
from steersman.serving.errors import RequestError
from steersman.serving.parsing import require_name
from steersman.store import FILES, MANIFEST

LARGEST = 2**30
"""Bytes that a file of a steering may have; no method's are near it."""


def lying_on(shelf: Path | None) -> dict[str, Path]:
    """The folders of steerings on a shelf, by name; links lead elsewhere and do not count.

    Args:
        shelf: where; None, or a folder that is gone, holds none.
    """
    if shelf is None:
        return {}
    try:
        names = sorted(os.listdir(shelf))
    except OSError:
        return {}
    return {name: shelf / name for name in names if _is_steering(name, shelf / name)}


def require_plain(name: str, folder: Path) -> None:
    """Refuse files that are links out of the folder, that have no end, or that are too large.

    Args:
        name: what clients call it.
        folder: of the steering.

    Raises:
        RequestError: one of them is.
    """
    for file in FILES:
        path = folder / file
        if not os.path.lexists(path):
            continue  # what is missing is told when it is read
        size = _plain_size(path, os.path.realpath(folder))
        if size is None:
            raise RequestError(f"{name!r} cannot be served: its {file} is no plain file.", "name")
        if size > LARGEST:
            raise RequestError(
                f"{name!r} cannot be served: its {file} has more than {LARGEST} bytes.", "name"
            )


def _plain_size(path: Path, inside: str) -> int | None:
    """The size of an ordinary file in a folder; None of what is none, or lies elsewhere."""
    found = os.path.realpath(path)
    if os.path.commonpath((found, inside)) != inside:
        return None
    try:
        known = os.stat(found)
    except OSError:
        return None
    return known.st_size if stat.S_ISREG(known.st_mode) else None


def _is_steering(name: str, folder: Path) -> bool:
    try:
        require_name(name)
    except InputError:
        return False
    plain = os.path.isdir(folder) and not os.path.islink(folder)
    return plain and os.path.isfile(folder / MANIFEST)
