"""A change of weights comes and goes without a trace, is saved, and knows its model again."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from steered_models import added, double, logits, schedule, steering
from tiny_models import tiny_model

from steersman.compiling import Dense, LowRank, WeightDelta, ablate
from steersman.errors import ArtifactError, AttachedError, MismatchError, ShapeError


def compiled(model: Any = None) -> WeightDelta:
    return steering("llama").compile(double("llama") if model is None else model, tokens="all")


def direction() -> torch.Tensor:
    return torch.randn(32, generator=torch.Generator().manual_seed(2)).double()


def test_the_parameters_are_the_same_objects_afterwards_also_after_an_exception() -> None:
    model = double("llama")
    before = dict(model.named_parameters())
    kept = {name: p.detach().clone() for name, p in before.items()}
    for delta in (compiled(), ablate(model, direction())):
        with pytest.raises(RuntimeError, match="stop"), delta.apply(model):
            assert set(dict(model.named_parameters())) != set(before) or delta.method != "bias"
            raise RuntimeError("stop")
    after = dict(model.named_parameters())
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)
    assert all(torch.equal(after[name], kept[name]) for name in before)
    assert model.model.layers[0].mlp.down_proj.bias is None


def test_a_delta_is_saved_and_loaded_bit_for_bit(tmp_path: Path) -> None:
    model = double("llama")
    for i, delta in enumerate((compiled(), ablate(model, direction()))):
        found = WeightDelta.load(delta.save(tmp_path / str(i)))
        assert (found.exact, found.reason, found.method) == (
            delta.exact,
            delta.reason,
            delta.method,
        )
        with delta.apply(model):
            expected = logits(model)
        with found.apply(model):
            assert torch.equal(logits(model), expected)
        assert delta.save(tmp_path / str(i)) == tmp_path / str(i)


def test_nothing_of_others_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="other things"):
        compiled().save(tmp_path)


def damage_truncated(folder: Path) -> None:
    path = folder / "delta.safetensors"
    path.write_bytes(path.read_bytes()[:-40])


def damage_version(folder: Path) -> None:
    path = folder / "delta.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))


def damage_names(folder: Path) -> None:
    found = json.loads((folder / "delta.json").read_text())
    found["changes"]["other.weight"] = "dense"
    (folder / "delta.json").write_text(json.dumps(found))


def damage_kind(folder: Path) -> None:
    found = json.loads((folder / "delta.json").read_text())
    found["changes"] = dict.fromkeys(found["changes"], "something")
    (folder / "delta.json").write_text(json.dumps(found))


@pytest.mark.parametrize("damage", [damage_truncated, damage_version, damage_names, damage_kind])
def test_a_damaged_folder_is_a_clear_error(damage: Any, tmp_path: Path) -> None:
    damage(compiled().save(tmp_path / "delta"))
    with pytest.raises(ArtifactError):
        WeightDelta.load(tmp_path / "delta")


def test_the_same_model_in_another_precision_is_known_again() -> None:
    delta = compiled(tiny_model("llama"))
    for dtype in (torch.float64, torch.bfloat16):
        model = tiny_model("llama").to(dtype)
        bare = logits(model)
        with delta.apply(model):
            assert not torch.equal(logits(model), bare)
            assert model.model.layers[0].mlp.down_proj.bias.dtype == dtype


@pytest.mark.parametrize("seed", [1, 2])
def test_other_weights_are_refused_by_name(seed: int) -> None:
    other = tiny_model("llama", seed=seed).double()
    with (
        pytest.raises(MismatchError, match="model.* is not the same here"),
        compiled().apply(other),
    ):
        pass


def test_one_changed_entry_of_one_parameter_is_noticed() -> None:
    model = tiny_model("llama").double()
    delta = compiled(model)
    model.model.layers[2].self_attn.q_proj.weight.data[0, 0] += 1e-3
    with (
        pytest.raises(MismatchError, match=r"layers\.2\.self_attn\.q_proj\.weight"),
        delta.apply(model),
    ):
        pass


def test_another_architecture_and_a_second_change_are_refused() -> None:
    delta, model = compiled(), double("llama")
    with pytest.raises(MismatchError, match="type 'qwen2'"), delta.apply(double("qwen2")):
        pass
    with delta.apply(model), pytest.raises(MismatchError), delta.apply(model):
        pass


def test_a_model_that_is_steered_is_refused() -> None:
    model, steered = double("llama"), steering("llama")
    delta = compiled()
    with (
        steered.attach(model, tokens="all"),
        pytest.raises(AttachedError, match="carries a steering"),
        delta.apply(model),
    ):
        pass


def test_a_steering_can_be_attached_on_top() -> None:
    model, inputs = double("llama"), schedule()
    expected = added(model, inputs + inputs)
    with compiled().apply(model), steering("llama").attach(model, tokens="all"):
        torch.testing.assert_close(logits(model), expected, atol=1e-12, rtol=0)


def test_factors_that_cannot_be_multiplied_are_refused(unchecked: None) -> None:
    with pytest.raises(ShapeError, match="cannot be multiplied"):
        LowRank(torch.ones(3, 2), torch.ones(3, 4))
    experts = LowRank(torch.ones(5, 1), torch.ones(4, 1, 6))
    assert experts.shape == tuple(experts.full().shape) == (4, 5, 6)
    assert Dense(torch.ones(3)).shape == (3,)
