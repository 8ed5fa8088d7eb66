"""GGUF files of the architecture `controlvector`, as llama.cpp, repeng and EasySteer exchange them.

The tensor `direction.N` is added to the output of the 0-based block N at every token. N counts from
1 there: llama.cpp has no place for a vector behind block 0 and refuses a whole file with
`direction.0`; other tools may write one. llama.cpp wants float32, sums files, and ignores
`controlvector.layer_count` and `model_hint`. Its own generator calls what it reads at the output of
block N - 1 `direction.N`; where a vector acts, not where it was read, is what counts here.

Source:
    ggml-org/llama.cpp: `common_control_vector_load_one`, `llama_adapter_cvec::apply`, `build_cvec`;
    vgel/repeng: `export_gguf`; ZJU-REAL/EasySteer: `export_gguf`.
"""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from steersman.errors import ArtifactError, InputError, MissingExtraError
from steersman.exchange.vectors import Vectors
from steersman.files import write_whole

_ARCHITECTURE = "controlvector"
_DIRECTION = re.compile(r"direction\.(\d+)")


def read(path: Path) -> Vectors:
    """The vectors in a file.

    Raises:
        MissingExtraError: the package `gguf` is not installed.
        ArtifactError: it is no GGUF file, of another architecture, or has no directions.
    """
    gguf = _package("Reading GGUF files")
    try:
        reader = gguf.GGUFReader(path)
        said = {name: str(one.contents()) for name, one in reader.fields.items()}
        tensors = {one.name: one.data.copy() for one in reader.tensors}
        kinds = {one.name: one.tensor_type.name for one in reader.tensors}
    except (OSError, ValueError, LookupError, OverflowError, MemoryError) as error:
        raise ArtifactError(f"{path.name} cannot be read as GGUF: {error}.") from error
    if said.get("general.architecture") != _ARCHITECTURE:
        raise ArtifactError(
            f"{path.name} says its architecture is {said.get('general.architecture')!r}; files "
            f"with vectors to add say {_ARCHITECTURE!r}."
        )
    found = {int(m[1]): name for name in tensors if (m := _DIRECTION.fullmatch(name))}
    wrong = sorted({kinds[name] for name in found.values()} - {"F32", "F16", "F64"})
    if wrong:
        raise ArtifactError(f"{path.name} holds directions in {', '.join(wrong)}; expected F32.")
    return Vectors.of({block: tensors[name] for block, name in found.items()}, _said(said))


def write(vectors: Vectors, path: Path) -> Path:
    """Write the vectors as `direction.N`.

    Raises:
        MissingExtraError: the package `gguf` is not installed.
        InputError: there is one for block 0, or it cannot be written there.
    """
    if 0 in vectors.by_block:
        raise InputError(
            "there is a vector for block 0, and llama.cpp refuses files that have one: leave it "
            "out by naming the others in blocks, or write another format."
        )
    gguf = _package("Writing GGUF files")
    with TemporaryDirectory() as folder:
        draft = Path(folder) / "vectors.gguf"
        writer = gguf.GGUFWriter(draft, _ARCHITECTURE)
        writer.add_string(f"{_ARCHITECTURE}.model_hint", vectors.said.get("model_type", ""))
        writer.add_uint32(f"{_ARCHITECTURE}.layer_count", len(vectors.blocks))
        for block in vectors.blocks:
            writer.add_tensor(f"direction.{block}", vectors.by_block[block].numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return write_whole(draft.read_bytes(), path)


def _said(fields: dict[str, str]) -> dict[str, str]:
    """What the file says of itself, without what GGUF says of every file."""
    own = {
        name.removeprefix(f"{_ARCHITECTURE}."): value
        for name, value in fields.items()
        if name.startswith(f"{_ARCHITECTURE}.")
    }
    hint = {"model_type": own.pop("model_hint")} if "model_hint" in own else {}
    return {"format": "GGUF", **hint, **own}


def _package(purpose: str) -> Any:
    try:
        import gguf
    except ImportError as missing:
        raise MissingExtraError("gguf", "gguf", purpose) from missing
    return gguf
