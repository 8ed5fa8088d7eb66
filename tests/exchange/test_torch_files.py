"""Files of torch.save: CAA, steering-vectors, and files that would run code."""

import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import torch
from exchange_models import Models, logits_under, logits_with, random_vectors
from torch import Tensor

import steersman as sm
from steersman.errors import ArtifactError, InputError, ShapeError
from steersman.exchange import Vectors, read_vectors, write_vectors


class Hostile:
    """What runs a command while it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.mark,))


@pytest.fixture
def their_class(monkeypatch: pytest.MonkeyPatch) -> type:
    """The class of steering-vectors, as that package would have it."""
    module = ModuleType("steering_vectors.steering_vector")

    @dataclass
    class SteeringVector:
        layer_activations: dict[int, Tensor]
        layer_type: str = "decoder_block"

    SteeringVector.__module__, SteeringVector.__qualname__ = module.__name__, "SteeringVector"
    module.SteeringVector = SteeringVector  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "steering_vectors", ModuleType("steering_vectors"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return SteeringVector


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("save", ["torch", "old torch", "pickle"])
def test_code_in_a_file_is_never_run(
    tmp_path: Path, nested: bool, protocol: int, save: str
) -> None:
    mark, path = tmp_path / "mark", tmp_path / "vec_layer_1_x.pt"
    content = {1: torch.ones(4), 2: Hostile(mark)} if nested else Hostile(mark)
    if save == "pickle":
        path.write_bytes(pickle.dumps(content, protocol))
    else:
        zipped = save == "torch"
        torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ArtifactError, match="nothing of it was run"):
        read_vectors(path)
    assert not mark.exists()
    if save != "pickle":  # the file would have run it, were it trusted
        torch.load(path, weights_only=False)
        assert mark.exists()


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    torch.save(torch.ones(4), tmp_path / "whole.pt")
    for name, content in {
        "empty.pt": b"",
        "text.pt": b"hello",
        "cut.pt": (tmp_path / "whole.pt").read_bytes()[:-100],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ArtifactError, match=name):
            read_vectors(tmp_path / name, 1)
    with pytest.raises(ArtifactError, match="no file"):
        read_vectors(tmp_path / "nowhere.pt")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_caa_file_acts_behind_the_block_in_its_name(
    tmp_path: Path, tiny_model: Models, tiny_tokenizer: object, dtype: torch.dtype
) -> None:
    vector, model = random_vectors(1)[1].to(dtype), tiny_model("llama")
    path = tmp_path / "vec_layer_1_Llama-2-7b-chat-hf.pt"
    torch.save(vector, path)
    steering = sm.import_vectors(path, model, tiny_tokenizer)
    assert torch.equal(steering.plan[1], vector.float())
    expected = logits_with(model, {1: vector.float()})
    assert torch.equal(logits_under(model, steering), expected)


def test_a_lone_vector_has_to_say_its_block_somewhere(tmp_path: Path) -> None:
    path = tmp_path / "happy.pt"
    torch.save(torch.ones(1, 4), path)
    with pytest.raises(InputError, match="blocks=13"):
        read_vectors(path)
    assert read_vectors(path, 2).blocks == (2,)


@pytest.mark.usefixtures("unchecked")
def test_a_tensor_of_several_rows_is_no_vector(tmp_path: Path) -> None:
    torch.save(torch.ones(2, 4), tmp_path / "happy.pt")
    with pytest.raises(ShapeError, match="expected one"):
        read_vectors(tmp_path / "happy.pt", 2)


def test_a_caa_file_is_written_for_one_block_under_a_name_that_says_it(tmp_path: Path) -> None:
    vectors = Vectors.of(random_vectors(1, 2))
    with pytest.raises(InputError, match="one vector, and there are some for blocks 1 .. 2"):
        write_vectors(vectors, tmp_path / "vec_layer_1_x.pt", "caa")
    for name in ("x.pt", "vec_layer_2_x.pt", "vec_layer_11_x.pt"):
        with pytest.raises(InputError, match="call it vec_layer_1_MODEL.pt"):
            write_vectors(vectors.only([1]), tmp_path / name, "caa")
    path = write_vectors(vectors.only([1]), tmp_path / "vec_layer_1_x.pt", "caa")
    assert torch.equal(torch.load(path, weights_only=True), vectors.by_block[1])
    assert torch.equal(read_vectors(path).by_block[1], vectors.by_block[1])


def test_layer_activations_act_behind_their_layers(
    tmp_path: Path, tiny_model: Models, tiny_tokenizer: object
) -> None:
    given, model = random_vectors(0, 2), tiny_model("llama")
    torch.save(given, tmp_path / "layers.pt")
    steering = sm.import_vectors(tmp_path / "layers.pt", model, tiny_tokenizer)
    assert steering.controller.active == (0, 2)
    assert torch.equal(logits_under(model, steering), logits_with(model, given))


def test_a_saved_steering_vector_is_read_without_its_class(
    tmp_path: Path, their_class: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, path = random_vectors(0, 2), tmp_path / "vector.pt"
    torch.save(their_class(given), path)
    monkeypatch.delitem(sys.modules, "steering_vectors.steering_vector")
    found = read_vectors(path)
    assert found.blocks == (0, 2) and found.said == {
        "file": "vector.pt",
        "format": "steering-vectors",
    }
    assert all(torch.equal(found.by_block[k], given[k]) for k in given)


def test_vectors_of_other_places_than_block_outputs_are_refused(
    tmp_path: Path, their_class: type
) -> None:
    torch.save(their_class(random_vectors(0), "self_attn"), tmp_path / "vector.pt")
    with pytest.raises(InputError, match="'self_attn' layers"):
        read_vectors(tmp_path / "vector.pt")
    for wrong in ([1.0], {"layer_activations": 3}):
        torch.save(wrong, tmp_path / "vector.pt")
        with pytest.raises(ArtifactError, match="vector.pt"):
            read_vectors(tmp_path / "vector.pt")


def test_what_is_written_for_steering_vectors_makes_one_there(
    tmp_path: Path, their_class: type
) -> None:
    vectors = Vectors.of(random_vectors(2, 0))
    path = write_vectors(vectors, tmp_path / "layers.pt", "steering-vectors")
    theirs = their_class(torch.load(path, weights_only=True))
    assert list(theirs.layer_activations) == [0, 2]
    found = read_vectors(path)
    assert all(torch.equal(found.by_block[k], vectors.by_block[k]) for k in (0, 2))
