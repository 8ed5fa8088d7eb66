"""Which format a file has, by its name and by what it holds."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from torch import Tensor

from steersman.errors import ArtifactError, UnknownNameError
from steersman.exchange import caa, llama_cpp, steering_vectors, svec
from steersman.exchange.torch_file import read_torch
from steersman.exchange.vectors import Vectors

FormatName = Literal["gguf", "svec", "steering-vectors", "caa"]
_TORCH = (".pt", ".pth", ".bin", ".ckpt")
_WRITERS: Mapping[FormatName, Callable[[Vectors, Path], Path]] = {
    "gguf": llama_cpp.write,
    "svec": svec.write,
    "steering-vectors": steering_vectors.write,
    "caa": caa.write,
}
_ENDINGS: Mapping[str, FormatName] = {".gguf": "gguf", ".svec": "svec"}


def read_vectors(path: str | Path, block: int | None = None) -> Vectors:
    """The vectors in a file that another tool wrote; nothing in it is executed.

    Args:
        path: `.gguf` of llama.cpp, repeng or EasySteer; `.svec` of activation-steering; `.pt` of
            CAA or of steering-vectors.
        block: of a file that holds one vector and does not say so: at whose output it acts.

    Raises:
        ArtifactError: there is no such file, it is damaged, of no known format, or not only data.
        InputError: it does not say where a vector acts.
        MissingExtraError: a package that reads it is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise ArtifactError(f"there is no file {path}.")
    found = _read(path, block)
    return replace(found, said={"file": path.name, **found.said})


def _read(path: Path, block: int | None) -> Vectors:
    ending = path.suffix.lower()
    if ending == ".gguf":
        return llama_cpp.read(path)
    if ending == ".svec":
        return svec.read(path)
    if ending not in _TORCH:
        raise ArtifactError(
            f"{path.name} ends in {ending or 'nothing'!r}; what is read ends in .gguf, .svec or "
            f"{', '.join(_TORCH)}."
        )
    found = read_torch(path, steering_vectors.STAND_INS)
    if isinstance(found, Tensor):
        return caa.of_tensor(found, path, block)
    return steering_vectors.of_layers(found, path)


def write_vectors(vectors: Vectors, path: str | Path, format: FormatName | None = None) -> Path:
    """Write vectors for another tool, whole or not at all.

    Args:
        vectors: what is written.
        path: where to.
        format: which format; None takes it from the ending, of `.gguf` and `.svec`.

    Raises:
        UnknownNameError: no such format.
        InputError: the format has no place for them, or it cannot be written there.
        MissingExtraError: a package that writes it is not installed.
    """
    path = Path(path)
    chosen = format or _ENDINGS.get(path.suffix.lower())
    if chosen is None or chosen not in _WRITERS:
        known = ", ".join(get_args(FormatName))
        given = (
            f"{path.name} does not say the format" if chosen is None else f"no format {chosen!r}"
        )
        raise UnknownNameError(f"{given}: choose one of {known}.")
    return _WRITERS[chosen](vectors, path)
