"""A saved steering on disk: never half a file, nothing opened but the three named files."""

import os
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path

from steersman.errors import ArtifactError
from steersman.store.format import CARD, FILES, MANIFEST, TENSORS, Artifact, decode, encode

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz")


def save(artifact: Artifact, path: Path) -> Path:
    """Write an artifact into the folder `path`.

    Everything is written to a folder beside it first. A new folder then appears at once; in the
    folder of an earlier steering each file is replaced at once, the manifest last, and all of them
    are put back where one fails. Other files there are left alone.

    Args:
        artifact: what to save.
        path: a folder that does not exist, is empty, or holds an earlier steering.

    Returns:
        The folder.

    Raises:
        ArtifactError: the folder holds other things, cannot be written, or the artifact is not
            sound; what was there before is still there.
    """
    files = encode(artifact)
    folder = path.expanduser().resolve()
    try:
        existing = sorted(os.listdir(folder)) if os.path.lexists(folder) else None
        require_ours(existing or (), str(path))
        _write(files, folder, replace=existing is not None)
    except OSError as error:
        raise ArtifactError(
            f"the steering cannot be saved in {path}: {error}. Choose a folder that can be written."
        ) from error
    return path.expanduser()


def require_ours(names: Iterable[str], where: str) -> None:
    """Refuse to write among files of something else; names that begin with a dot do not count.

    Raises:
        ArtifactError: there are files and no `steering.json`.
    """
    seen = [name for name in names if not name.startswith(".")]
    if seen and MANIFEST not in seen:
        raise ArtifactError(
            f"{where} holds {', '.join(seen[:4])}{', ...' if len(seen) > 4 else ''} and no "
            "steering. Choose a new place, an empty one, or that of an earlier steering."
        )


def read_folder(folder: Path, where: str | None = None) -> Artifact:
    """Read an artifact from a folder.

    Args:
        folder: where the files are.
        where: what messages call it; the folder by default.

    Raises:
        ArtifactError: a file is missing or cannot be read, or any of `decode`'s reasons.
    """
    where = str(folder) if where is None else where
    files = {}
    for name in FILES:
        try:
            files[name] = (folder / name).read_bytes()
        except FileNotFoundError as error:
            if name != CARD:
                raise ArtifactError(_missing(name, folder, where)) from error
        except OSError as error:
            raise ArtifactError(f"{name} in {where} cannot be read: {error}.") from error
    return decode(files, where)


def _missing(name: str, folder: Path, where: str) -> str:
    try:
        others = sorted(os.listdir(folder))
    except OSError:
        others = []
    pickles = [other for other in others if other.lower().endswith(_PICKLES)]
    if name == TENSORS and pickles:
        return (
            f"{where} holds {', '.join(pickles)} and no {TENSORS}. Such a file can run code when "
            "it is opened, so it was not; ask for one written by Steering.save_pretrained."
        )
    return f"{where} holds no {name}: it is not a saved steering, or a part of it is missing."


def _write(files: dict[str, bytes], folder: Path, *, replace: bool) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.parent / f".{folder.name}.{uuid.uuid4().hex}"
    draft.mkdir()
    try:
        for name, data in files.items():
            with (draft / name).open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        if replace:
            _replace(draft, folder)
        else:
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _replace(draft: Path, folder: Path) -> None:
    kept = draft / "earlier"
    kept.mkdir()
    for name in FILES:
        if (folder / name).exists():
            shutil.copy2(folder / name, kept / name)
    done = []
    try:
        for name in FILES:
            os.replace(draft / name, folder / name)
            done.append(name)
    except OSError:
        for name in done:
            if (kept / name).exists():
                os.replace(kept / name, folder / name)
            else:
                (folder / name).unlink()
        raise
