import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import steersman as sm

TOKENS = torch.tensor([[1, 7, 9, 11, 30]])


def logits(model):
    with torch.no_grad():
        return model(input_ids=TOKENS).logits


def test_the_checkpoint_is_the_steered_model(
    saved_model, saved_steering, tmp_path, pairs_file, steersman
):
    folder = tmp_path / "compiled"
    words = ("compile", saved_steering, "--model", saved_model, "--out", folder, "--tokens", "all")
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("the cat sat\na bird ran")
    result = steersman(*words, "--target", 0.7, "--prompts", prompts)
    assert result.exit_code == 0, result.output
    assert "exact: a schedule at every token" in result.stdout
    assert "on 2 prompts" in result.stdout
    model = AutoModelForCausalLM.from_pretrained(saved_model)
    steering = sm.Steering.from_pretrained(saved_steering)
    with steering.attach(model, 0.7, tokens="all"):
        expected = logits(model)
    found = AutoModelForCausalLM.from_pretrained(folder)
    torch.testing.assert_close(logits(found), expected, atol=1e-4, rtol=1e-4)
    assert AutoTokenizer.from_pretrained(folder).get_vocab()
    record = json.loads((folder / "steersman.json").read_text())
    assert record["exact"] is True and record["method"] == "bias"
    again = steersman(*words)  # the folder is one of ours
    assert again.exit_code == 0, again.output


def test_a_change_of_weights_alone_can_be_written(saved_model, saved_steering, tmp_path, steersman):
    folder = tmp_path / "delta"
    words = ("compile", saved_steering, "-m", saved_model, "-o", folder, "--delta")
    result = steersman(*words, "--tokens", "all")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in folder.iterdir()) == ["delta.json", "delta.safetensors"]
    assert sm.compiling.WeightDelta.load(folder).exact


def test_directions_are_ablated(saved_model, saved_steering, tmp_path, steersman):
    folder = tmp_path / "ablated"
    words = ("compile", saved_steering, "-m", saved_model, "-o", folder)
    result = steersman(*words, "--ablate", 2)
    assert result.exit_code == 0, result.output
    assert "exact: every writer is edited" in result.stdout
    v = sm.Steering.from_pretrained(saved_steering).features.one.vectors[2]
    found = AutoModelForCausalLM.from_pretrained(folder)
    states = found(input_ids=TOKENS, output_hidden_states=True).hidden_states[1:-1]
    assert all(float((x @ v).abs().max()) < 1e-4 for x in states)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ((), "tokens='all'"),
        (("--tokens", "all", "--execution", "feedback"), "skip connection"),
        (("--ablate", 9), "expected a state from 0 to 3"),
        (("--ablate", 1, "--target", 2), "leave strength and tokens out"),
    ],
)
def test_what_cannot_be_compiled_says_why_and_writes_nothing(
    more, why, saved_model, saved_steering, tmp_path, steersman
):
    folder = tmp_path / "compiled"
    result = steersman("compile", saved_steering, "-m", saved_model, "-o", folder, *more)
    assert result.exit_code == 1
    assert why in result.stderr
    assert not folder.exists()


def test_nothing_of_others_is_written_over(saved_model, saved_steering, tmp_path, steersman):
    (tmp_path / "mine.txt").write_text("mine")
    words = ("compile", saved_steering, "-m", saved_model, "-o", tmp_path, "--tokens", "all")
    result = steersman(*words)
    assert result.exit_code == 1 and "Choose another --out" in result.stderr
