"""Whatever bytes a folder holds: a steering or a SteersmanError, and nothing is executed."""

import hashlib
import json
import os
import pickle
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from small_steering import small_parts

from steersman import store
from steersman.artifact import artifact_of, parts_of
from steersman.errors import ArtifactError, SteersmanError
from steersman.store import FILES
from steersman.store.format import MANIFEST, TENSORS, decode, encode

_SOUND = encode(artifact_of(small_parts()))
_QUICK = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
_JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


def _loads_or_refuses(files: dict[str, bytes]) -> None:
    try:
        parts_of(decode(files, "here"))
    except SteersmanError as error:
        assert str(error)


def _vouched(files: dict[str, bytes]) -> dict[str, bytes]:
    """The manifest says that the tensors are as they should be, so that they are really read."""
    manifest = json.loads(files[MANIFEST])
    manifest["tensors"]["bytes"] = len(files[TENSORS])
    manifest["tensors"]["sha256"] = hashlib.sha256(files[TENSORS]).hexdigest()
    return {**files, MANIFEST: json.dumps(manifest).encode()}


def _flipped(data: bytes, flips: list[tuple[int, int]]) -> bytes:
    changed = bytearray(data)
    for place, bit in flips:
        changed[place % len(changed)] ^= 1 << bit
    return bytes(changed)


_FLIPS = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 7)), min_size=1, max_size=6)


def test_the_sound_files_load() -> None:
    parts_of(decode(_SOUND, "here"))


@_QUICK
@given(name=st.sampled_from(FILES), flips=_FLIPS)
def test_flipped_bits_load_or_are_refused(name: str, flips: list[tuple[int, int]]) -> None:
    _loads_or_refuses({**_SOUND, name: _flipped(_SOUND[name], flips)})


@_QUICK
@given(flips=_FLIPS, near=st.integers(1, 400))
def test_flipped_bits_in_a_tensors_file_that_is_vouched_for_are_read_safely(
    flips: list[tuple[int, int]], near: int
) -> None:
    # The header comes first, and that is where the parser can be led astray.
    aimed = [(place % near, bit) for place, bit in flips]
    _loads_or_refuses(_vouched({**_SOUND, TENSORS: _flipped(_SOUND[TENSORS], aimed)}))


@_QUICK
@given(name=st.sampled_from(FILES), share=st.floats(0, 1, exclude_max=True))
def test_truncated_files_load_or_are_refused(name: str, share: float) -> None:
    _loads_or_refuses({**_SOUND, name: _SOUND[name][: int(share * len(_SOUND[name]))]})


@_QUICK
@given(header=_JSON, body=st.binary(max_size=64), vouch=st.booleans())
@example(
    header={"G": {"dtype": "F32", "shape": [1 << 62, 8], "data_offsets": [0, 0]}},
    body=b"",
    vouch=True,
)
@example(
    header={"G": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, body=b"1234", vouch=True
)
@example(
    header={"G": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}, body=b"1234", vouch=True
)
@example(
    header={"G": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}, body=b"1234", vouch=True
)
def test_any_header_of_a_tensors_file_is_refused(header: Any, body: bytes, vouch: bool) -> None:
    text = json.dumps(header).encode()
    files = {**_SOUND, TENSORS: len(text).to_bytes(8, "little") + text + body}
    with pytest.raises(ArtifactError):
        parts_of(decode(_vouched(files) if vouch else files, "here"))


@_QUICK
@given(data=st.data(), value=_JSON)
def test_any_value_anywhere_in_the_manifest_loads_or_is_refused(
    data: st.DataObject, value: Any
) -> None:
    manifest = json.loads(_SOUND[MANIFEST])
    inner = manifest
    while True:
        key = data.draw(st.sampled_from(sorted(inner)))
        if not isinstance(inner[key], dict) or not inner[key] or data.draw(st.booleans()):
            break
        inner = inner[key]
    inner[key] = value
    _loads_or_refuses({**_SOUND, MANIFEST: json.dumps(manifest).encode()})


@_QUICK
@given(value=_JSON)
def test_any_json_for_a_manifest_is_refused(value: Any) -> None:
    with pytest.raises(SteersmanError):
        decode({**_SOUND, MANIFEST: json.dumps(value).encode()}, "here")


class _Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.trace),))


@pytest.mark.parametrize("name", [*FILES, "steering.pkl", "pytorch_model.bin"])
@pytest.mark.parametrize("alone", [True, False])
def test_a_pickle_in_any_place_is_never_executed(tmp_path: Path, name: str, alone: bool) -> None:
    trace, folder = tmp_path / "executed", tmp_path / "s"
    folder.mkdir()
    for each, data in _SOUND.items():
        if not (alone and each == TENSORS):
            (folder / each).write_bytes(data)
    (folder / name).write_bytes(pickle.dumps(_Bomb(trace)))
    with suppress(SteersmanError):
        parts_of(store.load(folder))
    assert not trace.exists()
    pickle.loads((folder / name).read_bytes())
    assert trace.exists(), "the bomb itself must work"


_opened: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event == "open" and isinstance(arguments[0], (str, Path)):
        _opened.append(str(arguments[0]))


def test_only_the_three_named_files_are_opened(tmp_path: Path) -> None:
    global _opened
    folder = store.save(artifact_of(small_parts()), tmp_path / "s")
    for name in ("evil.pkl", "config.json", "model.safetensors", "__init__.py"):
        (folder / name).write_bytes(b"x")
    sys.addaudithook(_watch)  # cannot be taken off again, so it is told when to look
    _opened = []
    store.load(folder)
    seen, _opened = _opened, None
    assert sorted(seen) == sorted(str(folder / name) for name in FILES)
