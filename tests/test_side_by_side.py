"""Several steerings on the same prompts: what they add up to, in which order, and what is left."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

import steersman as sm
from steersman.conditions import Condition
from steersman.control import LTVSystem
from steersman.errors import AttachedError, InputError, MismatchError
from steersman.plant import locate, owners

Models = Callable[[str], PreTrainedModel]
IDS = torch.arange(6, 30).view(3, 8)
BLOCKS, WIDTH = 3, 32


def vectors(seed: int, *blocks: int) -> dict[int, Tensor]:
    seeded = torch.Generator().manual_seed(seed)
    return {block: torch.randn(WIDTH, generator=seeded) for block in blocks}


@cache
def _fitted(models: Models, tokenizer: Any, method: str, start: int) -> sm.Steering:
    words = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    pairs = sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]}" for i in range(start, start + 12)],
        undesired=[f"{words[-i]} {words[-i - 1]}" for i in range(start, start + 12)],
    )
    plant = LTVSystem(torch.eye(WIDTH).repeat(BLOCKS, 1, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return sm.fit(
            models("llama"),
            tokenizer,
            {"sea": pairs, "music": pairs2(words)} if method == "both" else pairs,
            method="clamp" if method == "both" else method,
            jacobian_prompts=plant,
            progress=False,
        )


def pairs2(words: list[str]) -> sm.ContrastivePairs:
    return sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 3]}" for i in range(4, 16)],
        undesired=[f"{words[-i]} {words[-i - 2]}" for i in range(4, 16)],
    )


@pytest.fixture
def fitted(tiny_model: Models, tiny_tokenizer: Any) -> Callable[..., sm.Steering]:
    """`fitted("a-lqr", 5)`: a steering of a tiny model, shared, so never changed."""

    def fit(method: str, start: int = 2) -> sm.Steering:
        return _fitted(tiny_model, tiny_tokenizer, method, start)

    return fit


@pytest.fixture
def model(tiny_model: Models) -> PreTrainedModel:
    return tiny_model("llama")


@pytest.fixture
def imported(model: PreTrainedModel, tiny_tokenizer: Any) -> Callable[..., sm.Steering]:
    """`imported(0, 1, 2)`: random vectors of seed 0 behind the blocks 1 and 2."""

    def make(seed: int, *blocks: int) -> sm.Steering:
        return sm.import_vectors(vectors(seed, *blocks), model, tiny_tokenizer)

    return make


@torch.no_grad()
def logits(model: Any, ids: Tensor = IDS) -> Tensor:
    return model(ids).logits


def test_two_schedules_together_are_their_sum(model: Any, imported: Any) -> None:
    a, b = imported(0, 0, 1), imported(1, 1, 2)
    both = sm.together({"calm": a, "formal": b})
    with both.attach(model, {"calm": 2.0, "formal": -0.5}):
        found = logits(model)
    with (2.0 * a - 0.5 * b).attach(model, 1.0):
        expected = logits(model)
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(found, logits(model), atol=1e-2)


def test_inputs_are_added_in_the_order_given_to_the_last_bit(model: Any, imported: Any) -> None:
    a, b = imported(0, 1), imported(1, 1)
    va, vb = vectors(0, 1)[1], vectors(1, 1)[1]

    def hooked(first: Tensor, second: Tensor) -> Tensor:
        def hook(module: Any, args: Any, found: Any) -> Any:
            y = found[0] if isinstance(found, tuple) else found
            y = (y + first) + second
            return (y, *found[1:]) if isinstance(found, tuple) else y

        handle = model.model.layers[1].register_forward_hook(hook)
        found = logits(model)
        handle.remove()
        return found

    targets = {"a": 1.0, "b": 1.0}
    with sm.together({"a": a, "b": b}).attach(model, targets):
        found = logits(model)
    with sm.together({"b": b, "a": a}).attach(model, targets):
        turned = logits(model)
    assert torch.equal(found, hooked(va, vb))
    assert torch.equal(turned, hooked(vb, va))
    assert not torch.equal(found, turned)


def test_two_feedback_laws_both_read_what_entered_the_block(model: Any, fitted: Any) -> None:
    laws, targets = (fitted("a-lqr"), fitted("a-lqr", 5)), (1.5, -0.7)
    with torch.no_grad():
        nominal = model(IDS, output_hidden_states=True).hidden_states

    def hook(block: int) -> Any:
        def hooked(module: Any, args: Any, found: Any) -> Any:
            x, y = args[0], found[0] if isinstance(found, tuple) else found
            for law, target in zip(laws, targets, strict=True):
                H, G = law.controller.H[block, :, 0], law.controller.G[block, :, 0]
                wanted = nominal[block] @ H + target * law.controller.shifts[block, 0, 0]
                y = y + (wanted - x @ H)[..., None] * G
            return (y, *found[1:]) if isinstance(found, tuple) else y

        return hooked

    handles = [m.register_forward_hook(hook(t)) for t, m in enumerate(model.model.layers)]
    expected = logits(model)
    for handle in handles:
        handle.remove()
    both = sm.together(dict(zip("ab", laws, strict=True)))
    asked = dict(zip("ab", targets, strict=True))
    with both.attach(model, asked, execution="feedback", tokens="all"):
        found = logits(model)
    assert torch.allclose(found, expected, atol=1e-4)
    assert not torch.allclose(found, logits(model), atol=1e-2)


def test_what_is_asked_of_all_is_refused_where_one_cannot(
    model: Any, fitted: Any, imported: Any
) -> None:
    both = sm.together({"law": fitted("a-lqr"), "vectors": imported(1, 0, 1)})
    with pytest.raises(InputError, match="vectors observes nothing"):
        both.attach(model, {"law": 1.0}, execution="feedback")


def test_strength_zero_of_all_is_the_bare_model_to_the_last_bit(
    model: Any, imported: Any, fitted: Any
) -> None:
    bare = logits(model)
    both = sm.together({"a": imported(0, 0, 1), "b": imported(1, 1, 2), "c": fitted("a-lqr")})
    for target in ({"a": 0.0}, {"a": 0.0, "b": 0.0, "c": 0.0}):
        with both.attach(model, target):
            assert torch.equal(logits(model), bare)


def test_hooks_are_gone_afterwards_also_after_an_exception(model: Any, imported: Any) -> None:
    bare = logits(model)
    both = sm.together({"a": imported(0, 0), "b": imported(1, 1)})
    with pytest.raises(RuntimeError, match="on purpose"), both.attach(model, {"a": 1.0, "b": 1.0}):
        logits(model)
        raise RuntimeError("on purpose")
    assert not any(owners(module) for module in (model, *locate(model).modules))
    assert torch.equal(logits(model), bare)
    with both.attach(model, {"a": 1.0}), pytest.raises(AttachedError):
        both.attach(model, {"a": 1.0}).__enter__()


def test_every_target_may_be_one_a_prompt(model: Any, imported: Any) -> None:
    a, b = imported(0, 0, 1), imported(1, 1, 2)
    targets = {"a": [1.0, 0.0, 2.0], "b": [0.0, -1.0, 0.5]}
    both = sm.together({"a": a, "b": b})
    with both.attach(model, targets) as run:
        found = logits(model)
    first, second = run.traces()
    for row in range(3):
        alone = {name: values[row] for name, values in targets.items()}
        with both.attach(model, alone) as one:
            expected = logits(model, IDS[row : row + 1])
        assert torch.allclose(found[row], expected[0], atol=1e-5)
        for trace, other in zip((first, second), one.traces(), strict=True):
            assert torch.allclose(trace.effort[row], other.effort[0], atol=1e-5)
    with both.attach(model, {"a": [1.0, 0.0, 2.0], "b": 0.5}):
        mixed = logits(model)
    with both.attach(model, {"a": 2.0, "b": 0.5}):
        assert torch.allclose(mixed[2], logits(model)[2], atol=1e-5)


def test_each_has_a_trace_of_its_own_effort_under_its_own_name(model: Any, imported: Any) -> None:
    given = vectors(0, 0), vectors(1, 2)
    both = sm.together({"calm": imported(0, 0), "formal": imported(1, 2)})
    with both.attach(model, {"calm": 2.0, "formal": 3.0}) as run:
        logits(model)
    calm, formal = run.traces()
    assert (calm.name, formal.name) == ("calm", "formal") and run.trace.name == "calm"
    for trace, block, length in ((calm, 0, 2 * given[0][0]), (formal, 2, 3 * given[1][2])):
        expected = torch.zeros_like(trace.effort)
        expected[:, block] = length.norm()
        assert torch.allclose(trace.effort, expected)
    states = formal.feature[:, 1:3]  # what calm added before is in what formal reads
    with sm.together({"formal": imported(1, 2)}).attach(model, 3.0) as run:
        logits(model)
    assert torch.equal(run.trace.feature[:, :2], formal.feature[:, :2])
    assert states.shape == (3, 2, 8)


def test_they_can_be_some_prompts_steering_beside_others(model: Any, imported: Any) -> None:
    a, b = imported(0, 0, 1), imported(1, 1, 2)
    both = sm.together({"a": a, "b": b})
    asked = {"a": 1.0, "b": 1.0}
    with sm.attach(model, [both, None, both], asked):
        found = logits(model)
    with both.attach(model, asked):
        expected = logits(model)
    assert torch.allclose(found[[0, 2]], expected[[0, 2]], atol=1e-5)
    assert torch.allclose(found[1], logits(model)[1], atol=1e-5)


def test_generated_tokens_are_steered_by_all(model: Any, imported: Any) -> None:
    a, b = imported(0, 0, 1), imported(1, 1, 2)
    asked = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    with sm.together({"a": a, "b": b}).attach(model, {"a": 2.0, "b": 2.0}):
        found = model.generate(IDS, **asked)
    with (2.0 * a + 2.0 * b).attach(model, 1.0):
        assert torch.equal(model.generate(IDS, **asked), found)


def test_a_steering_of_several_features_keeps_a_target_for_each(
    model: Any, imported: Any, fitted: Any
) -> None:
    several = fitted("both")
    one = sm.together({"both": several, "calm": imported(0, 0)})
    assert one.names == ("both.sea", "both.music", "calm")
    with one.attach(model, {"both.music": 2.0}) as run:
        found = logits(model)
    with several.attach(model, {"music": 2.0}):
        assert torch.equal(logits(model), found)
    assert [trace.name for trace in run.traces()] == ["both.sea", "both.music", "calm"]


def test_names_and_targets_have_to_fit(model: Any, imported: Any) -> None:
    a = imported(0, 0)
    both = sm.together({"a": a, "b": a})
    with pytest.raises(InputError, match="here are 'a' and 'b': give the strength of each"):
        both.attach(model, 1.0)
    with pytest.raises(InputError, match="target names 'c'; here are 'a' and 'b'"):
        both.attach(model, {"a": 1.0, "c": 1.0})
    for wrong in ({}, {"": a}, {"a.b": a}):
        with pytest.raises(InputError):
            sm.together(wrong)
    with sm.together({"only": a}).attach(model, 2.0):
        found = logits(model)
    with a.attach(model, 2.0):
        assert torch.equal(logits(model), found)


def test_another_model_is_refused(tiny_model: Models, imported: Any) -> None:
    both = sm.together({"a": imported(0, 0), "b": imported(1, 1)})
    with pytest.raises(MismatchError, match="model_type"):
        both.attach(tiny_model("gpt2"), {"a": 1.0, "b": 1.0})


def test_a_condition_takes_them_and_tells_what_each_is(model: Any, imported: Any) -> None:
    a, b = imported(0, 0), imported(1, 1)
    condition = Condition(sm.together({"a": a, "b": b}), {"a": 1.0, "b": 2.0})
    settings = condition.settings()
    assert settings is not None
    assert settings["together"]["a"] == {
        key: value
        for key, value in (Condition(a).settings() or {}).items()
        if key in ("method", "features", "tensors")
    }
    assert settings["together"]["a"]["tensors"] != settings["together"]["b"]["tensors"]
    with condition.attach(model):
        found = logits(model)
    with (a + 2 * b).attach(model):
        assert torch.allclose(logits(model), found, atol=1e-5)
