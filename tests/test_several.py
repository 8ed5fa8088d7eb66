"""Several features from examples to a running model: by name, by prompt, saved and loaded."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

import steersman as sm
from steersman.errors import ArtifactError, InputError
from steersman.methods import Evidence, FeatureLQR
from steersman.plant import Averaged, linearize
from steersman.rehearsing import NEAR, TRIES
from steersman.request import Strength

Models = Callable[[str], PreTrainedModel]
METHODS = ["feature-lqr", "a-lqr", "a-lqr+"]
OWN = {"running": FeatureLQR(q=0.2), "weighed": FeatureLQR(q=0.3, weights={"mood": 4.0})}
Fitted = Callable[..., sm.Steering]
PROMPTS = torch.arange(6, 30).view(3, 8)
TARGETS = {"truth": [1.0, 0.0, 2.0], "mood": [0.0, 1.0, -1.0]}


@pytest.fixture(autouse=True)
def _no_doubts() -> None:
    warnings.simplefilter("ignore", UserWarning)


def examples(tokenizer: Any, start: int = 2) -> sm.ContrastivePairs:
    words = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    return sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]} {words[0]}" for i in range(start, start + 6)],
        undesired=[f"{words[-i]} {words[-i - 1]} {words[0]}" for i in range(start, start + 6)],
    )


@cache
def _fitted(models: Models, name: str, tokenizer: Any, method: str) -> sm.Steering:
    pairs = {"truth": examples(tokenizer), "mood": examples(tokenizer, 7)}
    kind: Any = OWN.get(method, method)
    return sm.fit(models(name), tokenizer, pairs, method=kind, progress=False)


@pytest.fixture
def fitted(tiny_model: Models, tiny_tokenizer: Any) -> Callable[..., sm.Steering]:
    """`fitted("a-lqr")`: a steering of two features of a tiny model, shared, so never changed."""

    def fit(method: str = "feature-lqr", name: str = "llama") -> sm.Steering:
        return _fitted(tiny_model, name, tiny_tokenizer, method)

    return fit


@torch.no_grad()
def logits(model: Any, steering: sm.Steering, ids: Tensor, target: Strength, **how: Any) -> Tensor:
    with steering.attach(model, target, tokens="last", trace=False, **how):
        return model(ids).logits[:, -1]


@pytest.mark.parametrize("method", METHODS)
def test_the_face_of_several_features_has_an_axis_more(method: str, fitted: Fitted) -> None:
    steering = fitted(method)
    blocks, n = steering.provenance.blocks, steering.provenance.n
    for tensor in (steering.directions, steering.contrast, steering.gains, steering.plan):
        assert tensor.shape == (blocks, n, 2)
    assert steering.units.norm.shape == steering.units.origin.shape == (blocks, 2)
    assert steering.features.names == ("truth", "mood")
    assert steering.provenance.pairs == {"truth": (6, 6), "mood": (6, 6)}
    assert len(set(steering.provenance.pairs_hash.values())) == 2
    assert steering.coupling is not None and steering.coupling.interaction.shape == (2, 2)
    assert "'truth': separation" in steering.summary() and "'mood': " in steering.summary()
    with pytest.raises(InputError, match="2 features, 'truth' and 'mood'; name one"):
        _ = steering.direction


def test_each_feature_is_read_from_its_own_pairs(
    tiny_model: Models, tiny_tokenizer: Any, fitted: Fitted
) -> None:
    model = tiny_model("llama")
    both = fitted()
    for index, (name, start) in enumerate((("truth", 2), ("mood", 7))):
        pairs = examples(tiny_tokenizer, start)
        alone = sm.fit(model, tiny_tokenizer, pairs, method="feature-lqr", progress=False)
        assert torch.equal(both.directions[..., index], alone.directions)
        assert both.provenance.pairs_hash[name] == alone.provenance.pairs_hash["feature"]


def test_one_feature_with_a_name_is_the_one_without(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model, pairs = tiny_model("llama"), examples(tiny_tokenizer)
    for method in METHODS:
        plain, named = (
            sm.fit(model, tiny_tokenizer, one, method=method, progress=False)
            for one in (pairs, {"truth": pairs})
        )
        for name in ("directions", "contrast", "gains", "plan"):
            assert torch.equal(getattr(plain, name), getattr(named, name))
        expected = logits(model, plain, PROMPTS, 0.7)
        assert torch.equal(logits(model, named, PROMPTS, 0.7), expected)
        assert torch.equal(logits(model, named, PROMPTS, {"truth": 0.7}), expected)


WAYS = [
    {"execution": "plan"},
    {"execution": "feedback"},
    {"execution": "plan", "relinearize": "prompt"},
    {"execution": "feedback", "relinearize": "prompt"},
    {"execution": "feedback", "relinearize": "token"},
    {"execution": "feedback", "correction": 0.5},
]


@pytest.mark.parametrize("how", WAYS, ids=str)
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
def test_targets_a_prompt_and_a_feature_are_those_of_each_prompt_alone(
    name: str, how: dict[str, Any], tiny_model: Models, fitted: Fitted
) -> None:
    model = tiny_model(name)
    steering = fitted("running", name)
    together = logits(model, steering, PROMPTS, TARGETS, **how)
    for row in range(3):
        target: dict[str, Any] = {name: values[row] for name, values in TARGETS.items()}
        alone = logits(model, steering, PROMPTS[row : row + 1], target, **how)[0]
        torch.testing.assert_close(together[row], alone, rtol=1e-4, atol=1e-4)


def test_relinearized_it_is_the_joint_design_on_the_prompts_own_plant(
    tiny_model: Models, fitted: Fitted
) -> None:
    model = tiny_model("llama")
    steering, prompt = fitted(), PROMPTS[:1]
    plant = Averaged((linearize(model, prompt),))
    solved = replace(steering, controller=steering.method.solve(Evidence(steering.features, plant)))
    target = {"truth": 1.0, "mood": -0.5}
    found = logits(model, steering, prompt, target, relinearize="prompt")
    # Tried out by running the model itself: what the first try misses, the second is asked for too.
    start, asked, tries = finals(model, solved, prompt, dict.fromkeys(target, 0.0)), target, []
    for _ in range(TRIES):
        at = finals(model, solved, prompt, asked)
        missed = {name: target[name] - (at[name] - start[name]) for name in target}
        tries.append((max(map(abs, missed.values())), asked))
        if tries[-1][0] < NEAR:
            break
        asked = {name: asked[name] + missed[name] for name in target}
    best = min(tries, key=lambda one: one[0])[1]
    assert best != target
    torch.testing.assert_close(found, logits(model, solved, prompt, best), rtol=1e-4, atol=1e-4)


def finals(model: Any, steering: sm.Steering, ids: Tensor, target: Any) -> dict[str, float]:
    """The features after the last block at the last token, in natural units."""
    with steering.attach(model, target, tokens="last") as run, torch.no_grad():
        model(ids)
    norms, origins = (getattr(steering.features, name)[-1] for name in ("norm", "origin"))
    found = [float(torch.as_tensor(trace.final)[0, -1]) for trace in run.traces()]
    return {
        name: float((raw - origin) / norm)
        for name, raw, norm, origin in zip(
            steering.features.names, found, norms, origins, strict=True
        )
    }


BEAMS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    *((how, {"num_beams": 2}) for how in WAYS),
    *((how, {"num_beams": 2, "use_cache": False}) for how in WAYS[:4]),
]


@pytest.mark.parametrize(("how", "settings"), BEAMS, ids=str)
def test_beams_keep_the_targets_of_their_prompt(
    how: dict[str, Any], settings: dict[str, Any], tiny_model: Models, fitted: Fitted
) -> None:
    model = tiny_model("llama")
    steering = fitted()

    def write(ids: Tensor, target: dict[str, Any]) -> Tensor:
        with steering.attach(model, target, tokens="last", trace=False, **how):
            return model.generate(  # type: ignore[operator]
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=4,
                do_sample=False,
                pad_token_id=0,
                **settings,
            )

    together = write(PROMPTS, TARGETS)
    for row in range(3):
        target = {name: values[row] for name, values in TARGETS.items()}
        assert torch.equal(together[row], write(PROMPTS[row : row + 1], target)[0])


def test_several_samples_of_a_prompt_share_its_targets(tiny_model: Models, fitted: Fitted) -> None:
    model = tiny_model("llama")
    steering = fitted()
    once = logits(model, steering, PROMPTS, TARGETS)
    copies = logits(model, steering, PROMPTS.repeat_interleave(3, 0), TARGETS)
    torch.testing.assert_close(copies, once.repeat_interleave(3, 0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("execution", ["plan", "feedback"])
def test_targets_of_zero_are_the_bare_model(
    execution: str, tiny_model: Models, fitted: Fitted
) -> None:
    model = tiny_model("llama")
    steering = fitted()
    with torch.no_grad():
        bare = model(PROMPTS).logits[:, -1]
    found = logits(model, steering, PROMPTS, {"truth": 0.0}, execution=execution)
    assert torch.equal(found, bare) if execution == "plan" else torch.allclose(found, bare)


def test_absolute_setpoints_are_in_the_natural_units_of_each_feature(
    tiny_model: Models, fitted: Fitted
) -> None:
    model = tiny_model("llama")
    steering = fitted("a-lqr")
    target = {"truth": 0.25, "mood": -1.0}
    with steering.attach(model, target, reference="absolute") as run, torch.no_grad():
        model(PROMPTS)
    for trace in run.traces():
        natural = trace.natural(trace.setpoint)[:, 1:]
        expected = torch.full_like(natural, target[trace.name])
        torch.testing.assert_close(natural, expected, rtol=1e-3, atol=1e-3)
    paper = {"truth": 1.5, "mood": 0.0}
    with steering.attach(model, lambda_=paper) as run, torch.no_grad():
        model(PROMPTS)
    for trace in run.traces():
        expected = (paper[trace.name] * trace.norm)[None, :, None].expand_as(trace.setpoint)
        torch.testing.assert_close(trace.setpoint, expected)


def test_rows_of_one_feature_and_of_several_share_a_batch(
    tiny_model: Models, tiny_tokenizer: Any, fitted: Fitted
) -> None:
    model = tiny_model("llama")
    both = fitted()
    pairs = {"truth": examples(tiny_tokenizer)}
    one = sm.fit(model, tiny_tokenizer, pairs, method="feature-lqr", progress=False)
    target: dict[str, Any] = {"truth": [1.0, 0.5, 2.0]}
    with sm.attach(model, [both, None, one], target, tokens="last") as run, torch.no_grad():
        mixed = model(PROMPTS).logits[:, -1]
        assert [trace.name for trace in run.traces()] == ["truth", "mood", "truth"]
    for row, steering, strength in ((0, both, 1.0), (2, one, 2.0)):
        alone = logits(model, steering, PROMPTS[row : row + 1], {"truth": strength})[0]
        torch.testing.assert_close(mixed[row], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", [*METHODS, "weighed"])
def test_it_is_saved_and_loaded_bit_for_bit(
    method: str, tmp_path: Path, tiny_model: Models, fitted: Fitted
) -> None:
    model = tiny_model("llama")
    steering = fitted(method)
    loaded = sm.Steering.from_pretrained(steering.save_pretrained(tmp_path / "s"))
    assert (loaded.features.names, loaded.method) == (steering.features.names, steering.method)
    assert loaded.provenance == steering.provenance
    for name in ("H", "G", "plan", "shifts"):
        assert torch.equal(getattr(loaded.controller, name), getattr(steering.controller, name))
    for name, direction in steering.features.directions.items():
        for key, tensor in vars(direction).items():
            assert torch.equal(getattr(loaded.features.directions[name], key), tensor)
    for key in ("interaction", "cosines", "effort", "alone"):
        assert torch.equal(getattr(loaded.coupling, key), getattr(steering.coupling, key))
    target = {"truth": 1.0, "mood": 0.5}
    for how in ({}, {"execution": "feedback"}):
        expected = logits(model, steering, PROMPTS, target, **how)
        assert torch.equal(logits(model, loaded, PROMPTS, target, **how), expected)
    card = (tmp_path / "s" / "README.md").read_text()
    assert 'target={"truth": 1.0, "mood": 0.0}' in card
    assert "| one unit of | moves truth | moves mood |" in card
    assert "### truth" in card and "pairs of mood, SHA-256" in card and "2 features" in card


def test_a_steering_whose_features_are_not_those_of_its_tensors_is_refused(
    tmp_path: Path, fitted: Fitted
) -> None:
    artifact = fitted().to_artifact()
    artifact.manifest["features"] = ["truth", "mood", "tone"]
    artifact.manifest["provenance"]["pairs"]["tone"] = (1, 1)
    folder = sm.store.save(artifact, tmp_path / "s")
    with pytest.raises(ArtifactError, match=r"expected \(\d+, 3\)|expected \(\d+, \d+, 3\)"):
        sm.Steering.from_pretrained(folder)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (1.0, "2 features, 'truth' and 'mood': give the strength of each by its name"),
        (None, "give the strength of each by its name"),
        ([1.0, 0.0], "give the strength of each by its name"),
        ({"tone": 1.0}, "target names 'tone'; this steering has 'truth' and 'mood'"),
        ({"truth": float("nan")}, "target of 'truth' is nan"),
        ({"truth": [1.0, 2.0], "mood": [0.0]}, "different numbers of prompts"),
    ],
)
def test_targets_that_cannot_be_are_refused(
    target: Any, says: str, tiny_model: Models, fitted: Fitted
) -> None:
    model = tiny_model("llama")
    with pytest.raises(InputError, match=says):
        fitted().attach(model, target)


def test_an_absolute_setpoint_must_name_every_feature(tiny_model: Models, fitted: Fitted) -> None:
    model = tiny_model("llama")
    steering = fitted("a-lqr")
    with pytest.raises(InputError, match="lambda_ says nothing of 'mood'"):
        steering.attach(model, lambda_={"truth": 1.0})


@pytest.mark.parametrize("method", ["s-pid", "actadd-lfs", "activation-addition", "counterfactual"])
def test_a_method_that_steers_one_feature_says_which_steer_several(
    method: str, fitted: Fitted
) -> None:
    says = f"{method} steers one feature at a time, and here are 'truth' and 'mood'; .*feature-lqr"
    with pytest.raises(InputError, match=says):
        fitted(method)


def test_the_same_pairs_under_two_names_are_refused(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    pairs = examples(tiny_tokenizer)
    with pytest.raises(InputError, match="'truth' and 'honesty' have linearly dependent"):
        sm.fit(
            tiny_model("llama"),
            tiny_tokenizer,
            {"truth": pairs, "honesty": pairs},
            method="feature-lqr",
            progress=False,
        )


@pytest.mark.parametrize("names", [[], [""], [" "]])
def test_features_without_a_name_are_refused(
    names: list[str], tiny_model: Models, tiny_tokenizer: Any
) -> None:
    pairs = dict.fromkeys(names, examples(tiny_tokenizer))
    with pytest.raises(InputError, match="of several by their names"):
        sm.fit(tiny_model("llama"), tiny_tokenizer, pairs, progress=False)
