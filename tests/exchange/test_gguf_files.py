"""GGUF files, against an encoder and a decoder of the format written out here."""

import struct
import sys
from pathlib import Path

import pytest
import torch
from exchange_models import Models, logits_under, logits_with, random_vectors
from torch import Tensor

import steersman as sm
from steersman.errors import ArtifactError, InputError, MissingExtraError
from steersman.exchange import Vectors, read_vectors, write_vectors

UINT32, STRING, F32, ALIGNMENT = 4, 8, 0, 32


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def encoded(
    vectors: dict[str, Tensor], arch: str = "controlvector", kind: int = F32, width: int = 1
) -> bytes:
    """A GGUF file, version 3."""
    fields = [
        text("general.architecture") + struct.pack("<I", STRING) + text(arch),
        text("controlvector.model_hint") + struct.pack("<I", STRING) + text("llama"),
        text("controlvector.layer_count") + struct.pack("<II", UINT32, len(vectors)),
    ]
    head, data = b"", b""
    for name, vector in vectors.items():
        head += text(name) + struct.pack("<IQIQ", width, vector.numel(), kind, len(data))
        data += vector.numpy().tobytes()
        data += bytes(-len(data) % ALIGNMENT)
    start = b"GGUF" + struct.pack("<IQQ", 3, len(vectors), len(fields)) + b"".join(fields) + head
    return start + bytes(-len(start) % ALIGNMENT) + data


def decoded(content: bytes) -> tuple[dict[str, object], dict[str, Tensor]]:
    """The fields and the float32 vectors of a GGUF file."""
    magic, version, tensors, count = struct.unpack_from("<4sIQQ", content)
    assert (magic, version) == (b"GGUF", 3)
    place = 24

    def number(form: str) -> int:
        nonlocal place
        (found,) = struct.unpack_from(f"<{form}", content, place)
        place += struct.calcsize(form)
        return found

    def word() -> str:
        nonlocal place
        size = number("Q")
        place += size
        return content[place - size : place].decode()

    fields: dict[str, object] = {}
    for _ in range(count):
        name = word()
        fields[name] = word() if number("I") == STRING else number("I")
    heads = []
    for _ in range(tensors):
        name = word()
        assert number("I") == 1
        size = number("Q")
        assert number("I") == F32
        heads.append((name, size, number("Q")))
    place += -place % ALIGNMENT
    found = {
        name: torch.tensor(struct.unpack_from(f"<{size}f", content, place + offset))
        for name, size, offset in heads
    }
    return fields, found


def named(vectors: dict[int, Tensor]) -> dict[str, Tensor]:
    return {f"direction.{k}": v for k, v in vectors.items()}


def test_direction_n_is_added_to_the_output_of_the_0_based_block_n(
    tmp_path: Path, tiny_model: Models, tiny_tokenizer: object
) -> None:
    pytest.importorskip("gguf")
    given, model = random_vectors(1, 2), tiny_model("llama")
    (tmp_path / "happy.gguf").write_bytes(encoded(named(given)))
    steering = sm.import_vectors(tmp_path / "happy.gguf", model, tiny_tokenizer)
    assert steering.controller.active == (1, 2)
    assert torch.equal(logits_under(model, steering), logits_with(model, given))


def test_a_file_says_what_it_is_for(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    given = random_vectors(0, 2)  # block 0 is refused by llama.cpp, and written by others
    (tmp_path / "happy.gguf").write_bytes(encoded(named(given)))
    found = read_vectors(tmp_path / "happy.gguf")
    assert dict(found.said) == {
        "file": "happy.gguf",
        "format": "GGUF",
        "model_type": "llama",
        "layer_count": "2",
    }
    assert found.blocks == (0, 2)
    assert all(torch.equal(found.by_block[k], given[k]) for k in given)


def test_what_is_written_is_what_llama_cpp_reads(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    vectors = Vectors.of(random_vectors(1, 2), {"model_type": "llama"})
    path = write_vectors(vectors, tmp_path / "happy.gguf")
    fields, found = decoded(path.read_bytes())
    assert fields == {
        "general.architecture": "controlvector",
        "controlvector.model_hint": "llama",
        "controlvector.layer_count": 2,
    }
    assert list(found) == ["direction.1", "direction.2"]
    again = read_vectors(path)
    for block in (1, 2):
        assert torch.equal(found[f"direction.{block}"], vectors.by_block[block])
        assert torch.equal(again.by_block[block], vectors.by_block[block])
    assert [one.name for one in tmp_path.iterdir()] == ["happy.gguf"]


def test_block_0_has_no_place_in_llama_cpp(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="block 0"):
        write_vectors(Vectors.of(random_vectors(0, 1)), tmp_path / "happy.gguf")
    assert not list(tmp_path.iterdir())


def test_other_files_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    sound = encoded(named(random_vectors(1)))
    path = tmp_path / "bad.gguf"
    for content in (b"", b"GGUF", b"hello" * 20, sound[:60], sound[:-64], b"\0" + sound[1:]):
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match=r"bad\.gguf cannot be read as GGUF"):
            read_vectors(path)
    path.write_bytes(encoded(named(random_vectors(1)), arch="llama"))
    with pytest.raises(ArtifactError, match="architecture is 'llama'"):
        read_vectors(path)
    path.write_bytes(encoded({"direction.x": torch.ones(8)}))
    with pytest.raises(InputError, match="no vector"):
        read_vectors(path)


def test_what_is_missing_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    (tmp_path / "happy.gguf").write_bytes(encoded(named(random_vectors(1))))
    with pytest.raises(MissingExtraError, match=r"pip install 'steersman\[gguf\]'"):
        read_vectors(tmp_path / "happy.gguf")
    with pytest.raises(MissingExtraError, match=r"pip install 'steersman\[gguf\]'"):
        write_vectors(Vectors.of(random_vectors(1)), tmp_path / "other.gguf")
