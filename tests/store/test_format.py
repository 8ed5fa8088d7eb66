"""The bytes of a saved steering, and what is refused in them."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import save as serialize

from steersman.errors import ArtifactError
from steersman.store import FORMAT_VERSION, Artifact
from steersman.store.format import CARD, MANIFEST, TENSORS, decode, encode


def _edited(artifact: Artifact, edit: Callable[[dict[str, Any]], object]) -> dict[str, bytes]:
    files = encode(artifact)
    manifest = json.loads(files[MANIFEST])
    edit(manifest)
    return {**files, MANIFEST: json.dumps(manifest).encode()}


def _with_tensors(artifact: Artifact, data: bytes, described: bool = True) -> dict[str, bytes]:
    """The files with other tensors, vouched for by the manifest as an attacker would."""

    def edit(manifest: dict[str, Any]) -> None:
        if described:
            manifest["tensors"]["bytes"] = len(data)
            manifest["tensors"]["sha256"] = hashlib.sha256(data).hexdigest()

    return {**_edited(artifact, edit), TENSORS: data}


def test_the_manifest_describes_every_tensor_and_the_file(artifact: Artifact) -> None:
    files = encode(artifact)
    manifest = json.loads(files[MANIFEST])
    assert manifest["format_version"] == FORMAT_VERSION
    assert manifest["tensors"] == {
        "bytes": len(files[TENSORS]),
        "sha256": hashlib.sha256(files[TENSORS]).hexdigest(),
        "table": {
            "G": {"shape": [3, 4, 1], "dtype": "float32"},
            "contrast": {"shape": [4, 4], "dtype": "float32"},
        },
    }


def test_unknown_keys_are_tolerated_and_kept(artifact: Artifact) -> None:
    files = _edited(artifact, lambda manifest: manifest.update(mood=["sunny", None]))
    assert decode(files, "here").manifest == {**artifact.manifest, "mood": ["sunny", None]}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_may_not_hold_nan_or_infinity(artifact: Artifact, value: float) -> None:
    artifact.manifest["prefilter"] = value
    with pytest.raises(ArtifactError, match="cannot be written as JSON"):
        encode(artifact)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_nan_and_infinity_in_json_are_refused_on_loading(artifact: Artifact, text: str) -> None:
    files = encode(artifact)
    broken = files[MANIFEST].replace(repr(1 / 3).encode(), text.encode())
    assert broken != files[MANIFEST]
    with pytest.raises(ArtifactError, match="is not valid JSON"):
        decode({**files, MANIFEST: broken}, "here")


def test_what_json_cannot_hold_is_not_saved(artifact: Artifact) -> None:
    artifact.manifest["method"] = object()
    with pytest.raises(ArtifactError, match="cannot be written as JSON"):
        encode(artifact)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is not valid JSON"),
        (b"{", "is not valid JSON"),
        (b"\xff\xfe{", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b'{"a":' * 100_000, "is not valid JSON"),
        (b'{"format_version": 1' + b"0" * 5000 + b"}", "is not valid JSON"),
        ("{}".encode("utf-16"), "is not valid JSON"),
        (b"[]", "holds a list; expected an object"),
        (b"null", "holds a NoneType; expected an object"),
        (b"{}", "has format_version None"),
        (b'{"format_version": true}', "has format_version True"),
        (b'{"format_version": "1"}', "has format_version '1'"),
        (b'{"format_version": 0}', "has format_version 0"),
        (b'{"format_version": 3}', "reads 2. Run: pip install -U steersman"),
        (b'{"format_version": 1}', "version 1, of an earlier steersman.*Fit the steering again"),
        (b'{"format_version": 2}', "does not describe its tensors"),
        (b'{"format_version": 2, "tensors": []}', "does not describe its tensors"),
        (b'{"format_version": 2, "tensors": {}}', "None were saved"),
    ],
)
def test_a_bad_manifest_is_refused(artifact: Artifact, data: bytes, says: str) -> None:
    with pytest.raises(ArtifactError, match=says):
        decode({**encode(artifact), MANIFEST: data}, "here")


@pytest.mark.parametrize("kept", [0, 4, 8, 100, -1])
def test_a_truncated_tensors_file_is_refused(artifact: Artifact, kept: int) -> None:
    files = encode(artifact)
    with pytest.raises(ArtifactError, match=r"bytes, \d+ were saved: it was cut short"):
        decode({**files, TENSORS: files[TENSORS][:kept]}, "here")


def test_one_changed_bit_is_noticed(artifact: Artifact) -> None:
    files = encode(artifact)
    changed = bytearray(files[TENSORS])
    changed[-1] ^= 1
    with pytest.raises(ArtifactError, match="was changed after it was saved"):
        decode({**files, TENSORS: bytes(changed)}, "here")


@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"\xff" * 64, b"PK\x03\x04" + b"\0" * 60])
def test_what_is_no_safetensors_file_is_refused(artifact: Artifact, data: bytes) -> None:
    with pytest.raises(ArtifactError, match="is not a safetensors file"):
        decode(_with_tensors(artifact, data), "here")


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"G": torch.ones(3, 4, 1)}, "disagree about contrast"),
        ({"G": torch.ones(3, 4), "contrast": torch.ones(4, 4)}, "disagree about G"),
        ({"G": torch.ones(3, 4, 1).double()}, "'G' in here is F64"),
        ({"G": torch.ones(3, 4, 1).half()}, "'G' in here is F16"),
        ({"G": torch.ones(0, 4)}, r"'G' in here is F32 of shape \[0, 4\]"),
        ({"G": torch.tensor([1.0, float("nan")])}, "'G' in here holds NaN or infinity"),
        ({"G": torch.tensor([float("inf")])}, "'G' in here holds NaN or infinity"),
        ({"separation_se": torch.tensor([float("nan")])}, "'separation_se' in here holds NaN"),
    ],
)
def test_other_tensors_than_described_are_refused(
    artifact: Artifact, tensors: dict[str, torch.Tensor], says: str
) -> None:
    with pytest.raises(ArtifactError, match=says):
        decode(_with_tensors(artifact, serialize(tensors)), "here")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_tensors_that_are_not_finite_are_not_saved(value: float) -> None:
    with pytest.raises(ArtifactError, match="'G' in this steering holds NaN or infinity"):
        encode(Artifact({"G": torch.tensor([1.0, value])}, {}, ""))


def test_a_number_too_large_for_float32_is_not_saved_as_infinity() -> None:
    with pytest.raises(ArtifactError, match="holds NaN or infinity"):
        encode(Artifact({"G": torch.tensor([1e300], dtype=torch.float64)}, {}, ""))


def test_the_error_of_a_separation_that_was_not_measured_may_be_infinite() -> None:
    given = Artifact({"separation_se": torch.tensor([0.1, float("inf")])}, {}, "")
    loaded = decode(encode(given), "here").tensors["separation_se"]
    assert torch.equal(loaded, given.tensors["separation_se"])


def test_empty_tensors_are_not_saved() -> None:
    with pytest.raises(ArtifactError, match=r"'G' in this steering is empty, of shape \(0, 2\)"):
        encode(Artifact({"G": torch.ones(0, 2)}, {}, ""))


def test_a_card_of_odd_bytes_still_loads(artifact: Artifact) -> None:
    files = {**encode(artifact), CARD: b"\xff\xfe card"}
    assert decode(files, "here").card.endswith(" card")


def test_a_lone_surrogate_does_not_keep_a_steering_from_being_saved(artifact: Artifact) -> None:
    odd = Artifact(artifact.tensors, {"model": "\ud800"}, "\ud800")
    assert decode(encode(odd), "here").manifest == {"model": "\ud800"}
