"""A merged checkpoint is loaded by transformers alone and does what the steering does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from steered_models import added, double, logits, schedule, steering
from tiny_models import tiny_model
from transformers import AutoModelForCausalLM

from steersman.compiling import WeightDelta, ablate
from steersman.errors import ArtifactError, CompilationError, MismatchError

SWITCHED = {
    "llama": "mlp_bias",
    "ernie4_5": "use_bias",
    "falcon": "bias",
    "gpt2": None,
    "gpt_oss": None,
    "helium": "mlp_bias",
    "phi": None,
}
WITHOUT_PLACE = ("qwen2", "qwen3", "mistral", "gemma", "phi3", "cohere", "mpt")


def load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float64, experts_implementation="eager"
    )


def compiled(model_type: str) -> WeightDelta:
    return steering(model_type).compile(double(model_type), tokens="all")


def direction() -> torch.Tensor:
    return torch.randn(32, generator=torch.Generator().manual_seed(2)).double()


@pytest.mark.parametrize("model_type", sorted(SWITCHED))
def test_biases_are_in_the_checkpoint_and_in_its_configuration(
    model_type: str, tmp_path: Path
) -> None:
    model, delta = double(model_type), compiled(model_type)
    expected, bare = added(model, schedule()), logits(model)
    merged = delta.merged(model)
    torch.testing.assert_close(logits(merged), expected, atol=1e-12, rtol=0)
    merged.save_pretrained(tmp_path / "merged")
    model.save_pretrained(tmp_path / "source")
    delta.merge_checkpoint(tmp_path / "source", tmp_path / "written")
    for name in ("merged", "written"):
        found = load(tmp_path / name)
        torch.testing.assert_close(logits(found), expected, atol=1e-6, rtol=0)
        switch = SWITCHED[model_type]
        assert switch is None or getattr(found.config, switch) is True
    assert torch.equal(logits(model), bare)
    if SWITCHED[model_type] is not None:
        assert getattr(model.config, str(SWITCHED[model_type])) is False


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "gemma", "opt", "cohere", "mixtral"])
def test_an_ablated_checkpoint_has_its_head_as_it_was(model_type: str, tmp_path: Path) -> None:
    model = double(model_type)
    delta = ablate(model, direction())
    with delta.apply(model):
        expected = logits(model)
    merged = delta.merged(model)
    merged.save_pretrained(tmp_path / "merged")
    found = load(tmp_path / "merged")
    # Gemma's factor of the embedding is rounded to float32 where it is loaded.
    torch.testing.assert_close(logits(found), expected, atol=1e-5, rtol=0)
    assert torch.equal(found.get_output_embeddings().weight, model.get_output_embeddings().weight)
    if delta.unties:
        assert found.config.tie_word_embeddings is False and model.config.tie_word_embeddings
        assert not torch.equal(
            found.get_output_embeddings().weight, found.get_input_embeddings().weight
        )
    if model_type == "mixtral":
        return  # its checkpoint keeps one tensor an expert
    model.save_pretrained(tmp_path / "source")
    delta.merge_checkpoint(tmp_path / "source", tmp_path / "written")
    torch.testing.assert_close(logits(load(tmp_path / "written")), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("model_type", WITHOUT_PLACE)
def test_an_architecture_without_a_place_for_a_bias_is_refused_with_what_to_do(
    model_type: str, tmp_path: Path
) -> None:
    model, delta = double(model_type), compiled(model_type)
    with pytest.raises(CompilationError, match=rf"'{model_type}' has the bias .*apply.*attach"):
        delta.merged(model)
    model.save_pretrained(tmp_path / "source")
    with pytest.raises(CompilationError, match=rf"'{model_type}' has the bias"):
        delta.merge_checkpoint(tmp_path / "source", tmp_path / "written")
    assert not (tmp_path / "written").exists()


def test_shards_and_other_files_are_kept(tmp_path: Path) -> None:
    model, delta = double("llama"), compiled("llama")
    model.save_pretrained(tmp_path / "source", max_shard_size="60KB")
    (tmp_path / "source" / "tokenizer.json").write_text("{}")
    (tmp_path / "source" / "pytorch_model.bin").write_text("old weights")
    shards = sorted(path.name for path in (tmp_path / "source").glob("*.safetensors"))
    assert len(shards) > 2
    written = delta.merge_checkpoint(tmp_path / "source", tmp_path / "written")
    assert sorted(path.name for path in written.glob("*.safetensors")) == shards
    assert (written / "tokenizer.json").exists() and not (written / "pytorch_model.bin").exists()
    found = load(written)
    torch.testing.assert_close(logits(found), added(model, schedule()), atol=1e-12, rtol=0)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_precision_of_the_checkpoint_is_kept(tmp_path: Path) -> None:
    model = tiny_model("llama").bfloat16()
    delta = steering("llama").compile(model, tokens="all")
    model.save_pretrained(tmp_path / "source")
    delta.merge_checkpoint(tmp_path / "source", tmp_path / "written")
    with safe_open(tmp_path / "written" / "model.safetensors", framework="pt") as opened:
        kinds = {opened.get_tensor(name).dtype for name in opened.keys()}  # noqa: SIM118
    assert kinds == {torch.bfloat16}


def test_the_checkpoint_of_another_model_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    tiny_model("llama", seed=4).save_pretrained(tmp_path / "other")
    with pytest.raises(MismatchError, match="is not what it was"):
        compiled("llama").merge_checkpoint(tmp_path / "other", tmp_path / "written")
    double("gpt2").save_pretrained(tmp_path / "gpt2")
    with pytest.raises(MismatchError, match="stores its weights under other names"):
        compiled("llama").merge_checkpoint(tmp_path / "gpt2", tmp_path / "written")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpt2", "other"]


def test_experts_that_are_stored_one_by_one_are_merged_through_the_model(tmp_path: Path) -> None:
    model = double("mixtral")
    model.save_pretrained(tmp_path / "source")
    with pytest.raises(MismatchError, match=r"save what `merged\(model\)` returns"):
        ablate(model, direction()).merge_checkpoint(tmp_path / "source", tmp_path / "written")


def test_a_folder_without_a_checkpoint_or_with_other_things_is_a_clear_error(
    tmp_path: Path,
) -> None:
    with pytest.raises(ArtifactError, match="holds no checkpoint in safetensors"):
        compiled("llama").merge_checkpoint(tmp_path, tmp_path / "written")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="other things"):
        compiled("llama").merge_checkpoint(tmp_path, tmp_path)
