"""Whether a steering is a change of weights is said beforehand, and measured."""

from typing import Any

import pytest
import torch
from steered_models import double, logits, steering
from tiny_models import VOCABULARY

import steersman as sm
from steersman.errors import InputError
from steersman.plant import encode

PROMPTS = ["the cat sat on the mat", "a bird"]


def test_a_schedule_at_all_tokens_is_exact_and_measured(tiny_tokenizer: Any) -> None:
    model, steered = double("llama"), steering("llama")
    found = steered.compilable(model, tokens="all", tokenizer=tiny_tokenizer, prompts=PROMPTS)
    assert (found.verdict, found.prompts, found.nearest) == ("exact", 2, "")
    assert found.difference is not None and found.effect is not None
    assert found.difference < 1e-12 and found.effect > 0.1
    assert "exact: " in str(found) and "on 2 prompts" in str(found)


def test_the_difference_is_that_of_the_logits(tiny_tokenizer: Any) -> None:
    model, steered = double("llama"), steering("llama")
    found = steered.compilable(model, 0.5, tokens="last", tokenizer=tiny_tokenizer, prompts=PROMPTS)
    assert found.verdict == "approximate" and "tokens='all'" in str(found)
    delta = steered.compile(model, 0.5, tokens="last", approximate=True)
    differences, effects = [], []
    for prompt in PROMPTS:
        ids = encode(tiny_tokenizer, [prompt]).input_ids
        assert int(ids.max()) < VOCABULARY
        bare = logits(model, ids)
        with steered.attach(model, 0.5, tokens="last"):
            attached = logits(model, ids)
        with delta.apply(model):
            compiled = logits(model, ids)
        differences.append(float((compiled - attached).abs().max()))
        effects.append(float((attached - bare).abs().max()))
    assert found.difference == pytest.approx(max(differences), abs=1e-12)
    assert found.effect == pytest.approx(max(effects), abs=1e-12)
    assert found.difference > 0.1


@pytest.mark.parametrize(
    ("choices", "why"),
    [
        ({"execution": "feedback"}, "skip connection"),
        ({"execution": "feedback", "correction": 0.5}, "skip connection"),
        ({"cap": 0.1}, "a cap makes its inputs depend on the length of the state"),
        ({"target": [1.0, 2.0]}, "each prompt has a target of its own"),
    ],
)
def test_what_depends_on_the_state_or_the_prompt_is_not(choices: dict[str, Any], why: str) -> None:
    found = steering("llama").compilable(double("llama"), tokens="all", **choices)
    assert found.verdict == "not" and why in found.reason and found.nearest
    assert found.difference is None


def test_an_architecture_that_norms_what_is_written_is_not() -> None:
    found = steering("gemma2").compilable(double("gemma2"), tokens="all")
    assert found.verdict == "not" and "normed" in found.reason


def test_a_law_that_is_solved_again_at_each_prompt_is_not(
    tiny_model: Any, tiny_tokenizer: Any
) -> None:
    model, words = tiny_model("llama"), [w for w in tiny_tokenizer.get_vocab() if w.isalpha()]
    pairs = sm.ContrastivePairs(
        [f"{words[i]} {words[i + 1]}" for i in range(8)],
        [f"{words[i + 9]} {words[i + 1]}" for i in range(8)],
    )
    steered = sm.fit(model, tiny_tokenizer, pairs, method="feature-lqr", progress=False)
    found = steered.compilable(model, tokens="all", relinearize="prompt")
    assert found.verdict == "not" and "solved again at each prompt" in found.reason
    exact = steered.compilable(model, tokens="all", tokenizer=tiny_tokenizer, prompts=PROMPTS)
    assert exact.verdict == "exact" and exact.difference is not None and exact.effect is not None
    assert exact.difference < 1e-4 * max(exact.effect, 1.0)


def test_contradictions_are_errors_as_in_attach() -> None:
    with pytest.raises(InputError, match="not both"):
        steering("llama").compilable(double("llama"), 1.0, lambda_=1.0)
    assert torch.get_default_dtype() == torch.float32
