"""A schedule at every token is a bias; everything else says why it is none."""

from typing import Any

import pytest
import torch
from steered_models import TOKENS, added, double, logits, schedule, steering
from tiny_models import CONFIGURATIONS, tiny_model

from steersman.compiling import Base, WeightDelta
from steersman.compiling.folding import folded
from steersman.errors import CompilationError, MismatchError
from steersman.gating import Resembles
from steersman.plant.writers import writers

NORMED = {"exaone4", "gemma2", "gemma3_text", "glm4", "olmo2", "olmo3"}
NO_BIAS = {"granitemoe", "mixtral", "olmoe", "qwen2_moe", "qwen3_moe"}


@pytest.mark.parametrize("model_type", sorted(CONFIGURATIONS))
def test_biases_give_the_logits_of_hooks_that_add_the_schedule(model_type: str) -> None:
    model, inputs = double(model_type), schedule()
    if model_type in NORMED | NO_BIAS:
        why = "normed before it is added" if model_type in NORMED else "experts have no bias"
        with pytest.raises(CompilationError, match=why):
            folded(writers(model), tuple(inputs))
        return
    delta = WeightDelta(folded(writers(model), tuple(inputs)), Base.of(model), True, "", "bias")
    expected, bare = added(model, inputs), logits(model)
    assert (expected - bare).abs().max() > 0.1
    with delta.apply(model):
        torch.testing.assert_close(logits(model), expected, atol=1e-12, rtol=0)
    assert torch.equal(logits(model), bare)


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "phi", "gpt_oss"])
@pytest.mark.parametrize("target", [1.0, -0.7])
def test_a_compiled_steering_is_the_attached_one(model_type: str, target: float) -> None:
    model, steered = double(model_type), steering(model_type)
    delta = steered.compile(model, target, tokens="all")
    assert delta.exact and delta.method == "bias"
    with steered.attach(model, target, tokens="all"):
        expected = logits(model)
    with delta.apply(model):
        torch.testing.assert_close(logits(model), expected, atol=1e-12, rtol=0)


def test_a_gain_of_the_block_is_divided_by() -> None:
    model = tiny_model("granite", residual_multiplier=0.22).double()
    delta = steering("granite").compile(model, tokens="all")
    with delta.apply(model):
        found = logits(model)
    torch.testing.assert_close(found, added(model, schedule()), atol=1e-12, rtol=0)


def test_a_block_without_input_is_left_alone() -> None:
    model, inputs = double("llama"), schedule()
    some = (None, inputs[1], torch.zeros_like(inputs[2]))
    assert list(folded(writers(model), some)) == ["model.layers.1.mlp.down_proj.bias"]


@pytest.mark.parametrize(
    ("choices", "decisions", "why"),
    [
        ({"tokens": "last"}, (), "from the prompt's last token on"),
        ({}, (7, 9), "kinds of token"),
    ],
)
def test_a_schedule_at_some_tokens_is_only_approximate(
    choices: dict[str, Any], decisions: tuple[int, ...], why: str
) -> None:
    model, steered = double("llama"), steering("llama", decision_tokens=decisions)
    with pytest.raises(CompilationError, match=f"{why}.*Nearest is tokens='all'.*approximate=True"):
        steered.compile(model, **choices)
    delta = steered.compile(model, approximate=True, **choices)
    assert not delta.exact and why in delta.reason
    expected = added(model, schedule())
    with delta.apply(model):
        torch.testing.assert_close(logits(model), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("choices", "why"),
    [
        ({"execution": "feedback"}, r"G H'x is taken from the block's input.*execution='plan'"),
        ({"reference": "absolute"}, "skip connection"),
    ],
)
def test_feedback_is_no_change_of_weights_and_says_why(choices: dict[str, Any], why: str) -> None:
    model, steered = double("llama"), steering("llama")
    for approximate in (False, True):
        with pytest.raises(CompilationError, match=why):
            steered.compile(model, tokens="all", approximate=approximate, **choices)


def test_one_target_a_prompt_is_no_change_of_weights() -> None:
    with pytest.raises(CompilationError, match="each prompt has a target of its own"):
        steering("llama").compile(double("llama"), [1.0, 0.0], tokens="all")


def test_another_model_is_refused() -> None:
    with pytest.raises(MismatchError, match="model_type"):
        steering("llama").compile(double("qwen2"), tokens="all")


def test_a_model_in_bfloat16_is_compiled_for_as_well() -> None:
    model, steered = tiny_model("llama").bfloat16(), steering("llama")
    delta = steered.compile(model, tokens="all")
    with steered.attach(model, tokens="all"):
        expected = logits(model).float()
    with delta.apply(model):
        found = logits(model).float()
    bare = logits(model).float()
    assert (found - expected).abs().max() < 0.05 * (expected - bare).abs().max()
    assert TOKENS.shape == (2, 6)


def test_where_a_steering_acts_is_no_change_of_weights() -> None:
    some = steering("llama").at("generated")
    with pytest.raises(CompilationError, match="at tokens='generated'"):
        some.compile(double("llama"))
    found = Resembles(torch.ones(some.provenance.n), state=1, threshold=0.5)
    with pytest.raises(CompilationError, match="prompts that meet a condition"):
        steering("llama").when(found).compile(double("llama"), tokens="all", approximate=True)
