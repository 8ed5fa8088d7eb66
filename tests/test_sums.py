"""Steerings that are schedules add up, and what they add up to is a steering like any other."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

import steersman as sm
from steersman.control import LTVSystem
from steersman.errors import InputError, MismatchError

Models = Callable[[str], PreTrainedModel]
IDS = torch.arange(6, 22).view(2, 8)
PLANS = ["activation-addition", "pid-steering", "vectors"]


def examples(tokenizer: Any, start: int = 2) -> sm.ContrastivePairs:
    """Each ends in another word, so that no few kinds of token decide."""
    words = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    return sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]}" for i in range(start, start + 12)],
        undesired=[f"{words[-i]} {words[-i - 1]}" for i in range(start, start + 12)],
    )


@pytest.fixture(autouse=True)
def _no_doubts() -> None:
    warnings.simplefilter("ignore", UserWarning)


@cache
def _fitted(models: Models, tokenizer: Any, method: str, start: int) -> sm.Steering:
    model, pairs = models("llama"), examples(tokenizer, start)
    plant = LTVSystem(torch.eye(32).repeat(3, 1, 1))
    return sm.fit(model, tokenizer, pairs, method=method, jacobian_prompts=plant, progress=False)


@pytest.fixture
def fitted(tiny_model: Models, tiny_tokenizer: Any) -> Callable[..., sm.Steering]:
    """`fitted("vectors", 5)`: a steering of a tiny model, shared, so never changed."""

    def fit(method: str = "vectors", start: int = 2) -> sm.Steering:
        return _fitted(tiny_model, tiny_tokenizer, method, start)

    return fit


@torch.no_grad()
def logits(model: Any, steering: sm.Steering, target: float = 1.0) -> torch.Tensor:
    with steering.attach(model, target, trace=False):
        return model(IDS).logits


@pytest.mark.parametrize("one", PLANS)
@pytest.mark.parametrize("other", PLANS)
def test_the_plan_of_a_sum_is_the_sum_of_the_plans(one: str, other: str, fitted: Any) -> None:
    a, b = fitted(one), fitted(other, 5)
    for found, expected in (
        (2 * a + b, 2 * a.plan.double() + b.plan.double()),
        (a - b, a.plan.double() - b.plan.double()),
        (-a, -a.plan.double()),
        (a * 0.5 - 3 * b, 0.5 * a.plan.double() - 3 * b.plan.double()),
    ):
        assert found.method.name == "vectors"
        assert torch.allclose(found.plan.double(), expected, rtol=1e-6, atol=1e-7)


def test_a_sum_steers_as_the_sum_of_the_inputs(fitted: Any, tiny_model: Models) -> None:
    a, b = fitted("activation-addition"), fitted("vectors", 5)
    model = tiny_model("llama")
    with torch.no_grad():
        bare = model(IDS).logits
    assert torch.equal(logits(model, 2 * a + b, 0.0), bare)
    assert torch.equal(logits(model, 2 * a), logits(model, a, 2.0))
    assert torch.equal(logits(model, -a), logits(model, a, -1.0))
    assert torch.equal(logits(model, a + b), logits(model, b + a))
    assert not torch.allclose(logits(model, a + b), logits(model, a), atol=1e-4)


def test_a_sum_is_saved_and_loaded_bit_for_bit(
    fitted: Any, tiny_model: Models, tmp_path: Path
) -> None:
    made = 2 * fitted("activation-addition") - fitted("vectors", 5)
    loaded = sm.Steering.from_pretrained(made.save_pretrained(tmp_path / "sum"))
    assert torch.equal(loaded.plan, made.plan)
    assert torch.equal(logits(tiny_model("llama"), made), logits(tiny_model("llama"), loaded))
    assert loaded.summary() == made.summary()
    assert "2 x activation-addition + -1 x vectors" in made.summary()


def test_the_terms_of_a_sum_of_sums_are_all_told(fitted: Any) -> None:
    a, b = fitted("activation-addition"), fitted("vectors", 5)
    (found,) = (3 * (2 * a - b) + a).diagnostics
    assert [(row[0], row[1]) for row in found.rows] == [
        (6.0, "activation-addition"),
        (-3.0, "vectors"),
        (1.0, "activation-addition"),
    ]
    assert found.rows[0][4] == a.provenance.pairs_hash["feature"]


def test_a_sum_has_seen_no_examples_and_says_so(fitted: Any) -> None:
    made = fitted() + fitted("activation-addition")
    assert made.provenance.pairs == {"feature": (0, 0)}
    assert bool(made.direction.separation_se.isinf().all())
    assert "separation" not in made.summary()


def test_a_law_that_depends_on_the_state_is_no_schedule(fitted: Any) -> None:
    with pytest.raises(InputError, match="angular is no schedule"):
        _ = fitted() + fitted("angular")


def test_steerings_that_act_at_different_tokens_are_not_added(fitted: Any) -> None:
    with pytest.raises(InputError, match="every token .* last token and later.*together"):
        _ = fitted() + fitted("clamp")
    made = fitted("clamp") + fitted("a-lqr")
    assert made.method.tokens == "last"


def test_steerings_of_different_models_are_not_added(fitted: Any) -> None:
    a = fitted()
    other = replace(a, provenance=replace(a.provenance, vocab_size=7))
    with pytest.raises(MismatchError, match="vocab_size: 99 and 7"):
        _ = a + other


def test_several_features_have_no_single_schedule(
    fitted: Any, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    pairs = {"a": examples(tiny_tokenizer), "b": examples(tiny_tokenizer, 5)}
    made = sm.fit(tiny_model("llama"), tiny_tokenizer, pairs, method="clamp", progress=False)
    with pytest.raises(InputError, match="2 features, 'a' and 'b'"):
        _ = 2 * made


def test_nothing_left_is_refused_and_so_is_what_is_no_number(fitted: Any) -> None:
    a = fitted()
    with pytest.raises(InputError, match="nothing would be added"):
        _ = a - a
    for wrong in ("2", True, None):
        with pytest.raises(TypeError):
            _ = a * wrong
    with pytest.raises(TypeError):
        _ = a + 1


def test_where_a_steering_acts_is_said_of_the_sum_and_not_of_its_terms(fitted: Any) -> None:
    gated = fitted("a-lqr").at("generated")
    with pytest.raises(InputError, match="tokens 'generated'.*steering.at"):
        2.0 * gated
    assert ((2.0 * gated.at(None)).at("generated")).gate.tokens == "generated"
