"""`.svec` files: JSON directions that act in front of their layers."""

import json
from pathlib import Path

import pytest
import torch
from exchange_models import Models, logits_under, logits_with, random_vectors

import steersman as sm
from steersman.errors import ArtifactError, InputError
from steersman.exchange import Vectors, read_vectors, write_vectors


def their_file(path: Path, layers: dict[int, torch.Tensor]) -> Path:
    """As `SteeringVector.save` of activation-steering writes it."""
    data = {
        "model_type": "llama",
        "directions": {k: v.numpy().tolist() for k, v in layers.items()},
        "explained_variances": dict.fromkeys(layers, 0.5),
    }
    with path.open("w") as file:
        json.dump(data, file)
    return path


def test_a_direction_acts_on_what_enters_its_layer(
    tmp_path: Path, tiny_model: Models, tiny_tokenizer: object
) -> None:
    layers, model = random_vectors(1, 2), tiny_model("llama")
    path = their_file(tmp_path / "happy.svec", layers)
    steering = sm.import_vectors(path, model, tiny_tokenizer)
    assert steering.controller.active == (0, 1)
    assert torch.equal(steering.plan[0], layers[1]) and torch.equal(steering.plan[1], layers[2])
    found, expected = logits_under(model, steering), logits_with(model, layers, "input")
    assert torch.equal(found, expected)
    assert not torch.allclose(found, logits_with(model, layers), atol=1e-3)


def test_what_would_act_before_block_0_is_left_out_and_told(tmp_path: Path) -> None:
    path = their_file(tmp_path / "happy.svec", random_vectors(0, 1, 2))
    with pytest.warns(UserWarning, match="layer 0"):
        assert read_vectors(path).blocks == (0, 1)
    path = their_file(tmp_path / "happy.svec", random_vectors(0))
    with pytest.warns(UserWarning), pytest.raises(InputError, match="no vector"):
        read_vectors(path)


def test_what_is_written_comes_back_bit_for_bit(tmp_path: Path) -> None:
    vectors = Vectors.of(random_vectors(0, 2), {"model_type": "llama"})
    path = write_vectors(vectors, tmp_path / "happy.svec")
    data = json.loads(path.read_text())
    assert sorted(data) == ["directions", "explained_variances", "model_type"]
    assert sorted(data["directions"]) == sorted(data["explained_variances"]) == ["1", "3"]
    found = read_vectors(path)
    assert found.said == {"file": "happy.svec", "format": ".svec", "model_type": "llama"}
    assert all(torch.equal(found.by_block[k], vectors.by_block[k]) for k in (0, 2))


@pytest.mark.parametrize(
    "content", ["", "[1]", "{}", '{"directions": [1]}', '{"directions": {"a": [1.0]}}', "[" * 10**5]
)
def test_what_is_no_such_file_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "bad.svec").write_text(content)
    with pytest.raises(ArtifactError, match="bad.svec"):
        read_vectors(tmp_path / "bad.svec")
