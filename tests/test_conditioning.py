"""Fitting a condition, attaching, saving and loading a steering that has one."""

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

import steersman as sm
from steersman.bounding.attachment import Attachment
from steersman.conditions import Condition
from steersman.control import LTVSystem
from steersman.errors import ArtifactError, InputError, MismatchError
from steersman.gating import choose, condition_vectors, similarity
from steersman.plant import AllTokens, LastToken, capture_states
from steersman.windtunnel import behaviour, fit_behaviour, load

Models = Callable[[str], PreTrainedModel]
QUIET: dict[str, Any] = {"progress": False}


@pytest.fixture(autouse=True)
def _no_doubts() -> None:
    warnings.simplefilter("ignore", UserWarning)


@pytest.fixture(scope="module")
def steering() -> sm.Steering:
    return fit_behaviour(*load(), behaviour("truthfulness"), pairs=40, method="feature-lqr")


@pytest.fixture(scope="module")
def about_the_sea() -> sm.ContrastivePairs:
    """Prompts about the sea, and the same number about something else."""
    return behaviour("concepts:sea").pairs(0, 40)


@pytest.fixture(scope="module")
def condition(about_the_sea: sm.ContrastivePairs) -> sm.Resembles:
    return sm.fit_condition(*load(), about_the_sea, similarity="cosine", name="sea", **QUIET)


def attached(steering: sm.Steering, prompts: list[str], **how: Any) -> tuple[Any, torch.Tensor]:
    """Which prompts fired, and the logits of all."""
    model, tokenizer = load()
    given = tokenizer(prompts, return_tensors="pt", padding=True)
    with steering.attach(model, 1.0, tokens="all", **how) as run, torch.no_grad():
        logits = model(input_ids=given.input_ids, attention_mask=given.attention_mask).logits
    fired = run.trace.fired
    return None if fired is None else fired.tolist(), logits


@pytest.mark.parametrize("vector", ["pca", "mean"])
@pytest.mark.parametrize("pool", ["mean", "last"])
def test_a_condition_is_fitted_as_its_parts_say(
    vector: Any, pool: Any, about_the_sea: sm.ContrastivePairs
) -> None:
    model, tokenizer = load()
    made = sm.fit_condition(
        model, tokenizer, about_the_sea, vector=vector, pool=pool, seed=2, **QUIET
    )
    mine, others = about_the_sea.split(0.75, seed=2)
    rule = AllTokens() if pool == "mean" else LastToken()

    def read(side: Any) -> torch.Tensor:
        return capture_states(model, tokenizer, list(side), rule)[:, 1:-1]

    yes, no = read(mine.desired), read(mine.undesired)
    c = condition_vectors(yes, no, vector)
    values = [
        torch.stack([similarity(side[:, t], c[t]) for t in range(len(c))], 1) for side in (yes, no)
    ]
    best = choose(*values)
    assert (made.state, made.threshold, made.side) == (best.column + 1, best.threshold, best.side)
    assert torch.equal(made.vector, c[best.column])
    assert made.found is not None and made.found.f1 == best.f1
    assert (made.found.examples, made.found.held_out) == ((30, 30), (10, 10))
    seen = [read(side)[:, best.column] for side in (others.desired, others.undesired)]
    hits, wrong = (
        int((v > best.threshold if best.side == "above" else v < best.threshold).sum())
        for v in (similarity(x, made.vector) for x in seen)
    )
    assert made.found.held_out_f1 == pytest.approx(2 * hits / (hits + wrong + 10))


def test_a_topic_is_told_apart_on_prompts_that_were_held_out(condition: sm.Resembles) -> None:
    assert condition.found is not None
    assert condition.found.held_out_f1 > 0.8


@pytest.mark.parametrize("how", [{}, {"execution": "feedback"}, {"relinearize": "prompt"}])
def test_the_model_decides_at_run_time_as_the_fit_did(
    how: dict, steering: sm.Steering, condition: sm.Resembles, about_the_sea: sm.ContrastivePairs
) -> None:
    model, tokenizer = load()
    prompts = [str(one) for one in (*about_the_sea.desired[:6], *about_the_sea.undesired[:6])]
    rule = AllTokens() if condition.pool == "mean" else LastToken()
    states = capture_states(model, tokenizer, prompts, rule)[:, condition.state]
    expected = condition.fires({condition.reading: states}).tolist()
    assert any(expected) and not all(expected)
    fired, some = attached(steering.when(condition), prompts, **how)
    assert fired == expected
    _, every = attached(steering, prompts, **how)
    _, none = attached(steering.when(~condition), prompts, **how)
    for row, yes in enumerate(fired):
        assert torch.allclose(some[row] if yes else none[row], every[row], atol=1e-4)
        assert not torch.allclose((none if yes else some)[row], every[row], atol=1e-3)


def test_a_gate_is_saved_and_loaded_bit_for_bit(
    steering: sm.Steering, condition: sm.Resembles, tmp_path: Path
) -> None:
    other = sm.fit_condition(
        *load(), behaviour("concepts:sea").pairs(1, 40), pool="last", vector="mean", **QUIET
    )
    when = sm.AllOf((condition | ~other, sm.Not(sm.AnyOf((other,)))))
    made = steering.when(when).at("generated")
    made.save_pretrained(tmp_path)
    loaded = sm.Steering.from_pretrained(tmp_path)
    assert loaded.gate.tokens == "generated"
    assert loaded.gate.sentence == made.gate.sentence
    pairs = zip(loaded.gate.condition.leaves, when.leaves, strict=True)
    for found, saved in pairs:
        assert torch.equal(found.vector, saved.vector)
        assert {k: v for k, v in vars(found).items() if k != "vector"} == {
            k: v for k, v in vars(saved).items() if k != "vector"
        }
    card = (tmp_path / "README.md").read_text()
    assert "**Where it acts.** tokens 'generated'; prompts for which" in card
    assert f"sea, F1 {condition.found.f1:.2f} on the examples" in card
    prompts = [str(one) for one in behaviour("concepts:sea").pairs(5, 4).desired]
    assert attached(loaded, prompts)[0] == attached(made, prompts)[0]


def test_a_steering_without_a_gate_is_saved_as_before(
    steering: sm.Steering, tmp_path: Path
) -> None:
    steering.save_pretrained(tmp_path)
    assert "gate" not in json.loads((tmp_path / "steering.json").read_text())
    assert "Where it acts" not in (tmp_path / "README.md").read_text()
    assert not sm.Steering.from_pretrained(tmp_path).gate.sentence


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"gate": 3}, "gate is 3"),
        ({"gate": {"tokens": "nowhere"}}, "'tokens' of gate"),
        ({"gate": {"condition": {"all": []}}}, "no list of some"),
        ({"gate": {"condition": []}}, "is no object"),
        ({"side": "larger"}, "'side' of condition"),
        ({"state": 99}, "reads state 99"),
        ({"threshold": "high"}, "'threshold' of condition"),
    ],
)
def test_a_gate_that_was_changed_is_refused(
    wrong: dict, said: str, steering: sm.Steering, condition: sm.Resembles
) -> None:
    artifact = steering.when(condition).to_artifact()
    manifest = json.loads(json.dumps(artifact.manifest))
    if "gate" in wrong:
        manifest |= wrong
    else:
        manifest["gate"]["condition"] |= wrong
    from steersman.artifact import parts_of

    with pytest.raises(ArtifactError, match=said):
        parts_of(replace(artifact, manifest=manifest))


def test_vectors_and_conditions_have_to_be_as_many(
    steering: sm.Steering, condition: sm.Resembles
) -> None:
    from steersman.artifact import parts_of

    artifact = steering.when(condition).to_artifact()
    two = artifact.tensors["conditions"].repeat(2, 1)
    for tensors, said in (
        ({**artifact.tensors, "conditions": two}, "more vectors"),
        ({k: v for k, v in artifact.tensors.items() if k != "conditions"}, "has shape None"),
    ):
        with pytest.raises(ArtifactError, match=said):
            parts_of(replace(artifact, tensors=tensors))
    deep: dict = artifact.manifest["gate"]["condition"]
    for _ in range(30):
        deep = {"not": deep}
    manifest = {**artifact.manifest, "gate": {"condition": deep}}
    with pytest.raises(ArtifactError, match="more than 16"):
        parts_of(replace(artifact, manifest=manifest))


def test_an_evaluation_knows_the_gate_of_what_it_evaluates(
    steering: sm.Steering, condition: sm.Resembles
) -> None:
    plain, gated = Condition(steering).settings(), Condition(steering.when(condition)).settings()
    assert plain is not None and gated is not None
    assert "gate" not in plain and gated["gate"]["condition"]["name"] == "sea"
    rule = Condition(steering, tokens=sm.engines.tokens_named("ids:3,1"))
    assert json.loads(json.dumps(rule.settings()))["tokens"] == "ids:1,3"


def test_tokens_of_a_steering_give_way_to_those_that_are_asked_for(steering: sm.Steering) -> None:
    model, tokenizer = load()
    from steersman.request import Request

    def rule(made: sm.Steering, **asked: Any) -> str:
        return made.channel(Request.of(1.0, **asked), model).rule.name

    at = steering.at("prompt:last:2")
    assert rule(at) == "prompt:last:2"
    assert rule(at, tokens="all") == "all"
    assert rule(at.at(None)) == rule(steering)
    word = next(w for w in tokenizer.get_vocab() if w.isalpha() and len(w) > 4)
    texts = steering.at(f"text:{word}", tokenizer)
    assert tokenizer.get_vocab()[word] in map(int, rule(texts).removeprefix("ids:").split(","))
    with pytest.raises(InputError, match="read by a tokenizer"):
        steering.at(f"text:{word}")
    with pytest.raises(InputError, match="read by a tokenizer"):
        steering.attach(model, tokens="text:.")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"states": [9]}, r"states names \[9\]"),
        ({"states": []}, "none"),
        ({"held_out": 0.9}, "on 1 examples of a side|on 0"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    how: dict, said: str, tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    words = [w for w in sorted(tiny_tokenizer.get_vocab()) if w.isalpha()]
    pairs = sm.ContrastivePairs(words[:8], words[8:16])
    with pytest.raises(InputError, match=said):
        sm.fit_condition(tiny_model("llama"), tiny_tokenizer, pairs, **how, **QUIET)


def test_components_need_pairs(tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    words = [w for w in sorted(tiny_tokenizer.get_vocab()) if w.isalpha()]
    loose = sm.ContrastivePairs(words[:8], words[8:15], paired=False)
    with pytest.raises(InputError, match="these examples are none"):
        sm.fit_condition(tiny_model("llama"), tiny_tokenizer, loose, **QUIET)
    made = sm.fit_condition(tiny_model("llama"), tiny_tokenizer, loose, vector="mean", **QUIET)
    assert made.found is not None and made.found.f1 > 0.5


def test_a_condition_of_another_model_is_refused(steering: sm.Steering) -> None:
    with pytest.raises(MismatchError, match="Fit a condition on it"):
        steering.when(sm.Resembles(torch.ones(3), 1, 0.0))


def test_a_bound_asks_for_a_steering_that_always_acts(
    steering: sm.Steering, condition: sm.Resembles
) -> None:
    made = steering.provenance
    plant = LTVSystem(torch.eye(made.n).repeat(made.blocks, 1, 1))
    with pytest.raises(InputError, match=r"steering.when\(None\)"):
        Attachment(steering.when(condition), plant)
