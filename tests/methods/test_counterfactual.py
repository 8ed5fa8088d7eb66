"""The counterfactual setpoint: aligned pairs, what is learnt from them, and what that does."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

import steersman as sm
from steersman.directions import Features, contrast
from steersman.errors import InputError
from steersman.methods import ALQR, AlignedStates, Counterfactual, Evidence
from steersman.plant import HookSet, hidden_in, locate, positions_named
from steersman.reading import Examples, read_aligned
from steersman.windtunnel import behaviour, fit_behaviour, load, measure

Models = Callable[[str], PreTrainedModel]


def words(tokenizer: Any) -> list[str]:
    return [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]


def examples(tokenizer: Any, count: int = 8) -> sm.ContrastivePairs:
    """Two contexts, and the same last two words behind them."""
    known = words(tokenizer)
    ends = [f"{known[i]} {known[0]}" for i in range(2, 2 + count)]
    return sm.ContrastivePairs(
        desired=[f"{known[-1]} {end}" for end in ends],
        undesired=[f"{known[-2]} {end}" for end in ends],
    )


def test_states_of_both_sides_are_those_of_the_same_tokens(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model, pairs = tiny_model("llama"), examples(tiny_tokenizer)
    known = words(tiny_tokenizer)
    ends = positions_named(f"regex:(?<={known[-1]} |{known[-2]} ).*")
    found = read_aligned(model, tiny_tokenizer, Examples.of(pairs, ends), progress=False)
    assert found.desired.shape == found.undesired.shape
    assert found.group.tolist() == sorted(2 * list(range(8)))
    # x_0 is the token alone: the two contexts are told apart in later states only.
    assert torch.equal(found.desired[:, 0], found.undesired[:, 0])
    assert not torch.equal(found.desired[:, 1], found.undesired[:, 1])


def test_the_push_in_front_of_the_model_is_the_shift_of_its_state(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model, pairs = tiny_model("llama"), examples(tiny_tokenizer)
    method = Counterfactual(block=1, rank=2, ridge=0.1)
    steering = sm.fit(model, tiny_tokenizer, pairs, method=method, progress=False)
    ids = torch.arange(6, 12)[None]
    inputs: list[torch.Tensor] = []
    attached = steering.attach(model, 0.5, tokens="all")
    with attached as run, HookSet() as hooks, torch.no_grad():
        hooks.before(locate(model).modules[1], lambda a, k: inputs.append(hidden_in(a, k)[0]))
        model(ids)
    (x,) = inputs
    c = steering.controller
    expected = 0.5 * (c.shifts[1, :, 0] + x @ c.H[1]) @ c.G[1].T
    torch.testing.assert_close(run.trace.effort[0, 1], expected.norm(dim=-1), rtol=1e-4, atol=1e-5)
    assert not run.trace.effort[0, [0, 2]].any()


def test_choices_left_open_are_written_down(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model, pairs = tiny_model("gpt2"), examples(tiny_tokenizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        steering = sm.fit(model, tiny_tokenizer, pairs, method="counterfactual", progress=False)
    method = steering.method
    assert isinstance(method, Counterfactual)
    assert method.block in (1, 2) and method.rank and method.ridge
    assert steering.controller.active == (method.block,)


def test_a_plan_is_the_mean_shift(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model, pairs = tiny_model("llama"), examples(tiny_tokenizer)
    method = Counterfactual(block=2, rank=1, ridge=0.1)
    steering = sm.fit(model, tiny_tokenizer, pairs, method=method, progress=False)
    states = read_aligned(model, tiny_tokenizer, Examples.of(pairs), progress=False)
    expected = (states.desired - states.undesired)[:, 3].mean(0)
    torch.testing.assert_close(steering.plan[2], expected, rtol=1e-4, atol=1e-5)


def test_a_shift_that_the_state_does_not_tell_is_doubted() -> None:
    def randn(seed: int) -> torch.Tensor:
        return torch.randn(20, 4, 6, generator=torch.Generator().manual_seed(seed))

    undesired, shift = randn(0), randn(1)
    aligned = AlignedStates(undesired + shift, undesired, torch.arange(20))
    evidence = Evidence(Features.of(contrast(aligned.desired, undesired)), aligned=aligned)
    with pytest.warns(UserWarning, match="little to steer by"):
        Counterfactual().settled(evidence)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p, w: sm.ContrastivePairs([*p.desired, "the dog"], p.undesired), "need pairs"),
        (
            lambda p, w: sm.ContrastivePairs(
                [*p.desired, f"{w[4]} {w[5]}"], [*p.undesired, f"{w[4]} {w[6]}"]
            ),
            "pair 8 is not aligned",
        ),
        (
            lambda p, w: sm.ContrastivePairs(p.desired[:3], p.undesired[:3]),
            "3 pairs cannot be left",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_pairs_that_it_cannot_learn_from_are_refused(
    change: Any, says: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    pairs = change(examples(tiny_tokenizer), words(tiny_tokenizer))
    with pytest.raises(InputError, match=says):
        sm.fit(tiny_model("llama"), tiny_tokenizer, pairs, method="counterfactual", progress=False)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_block_that_does_not_exist_is_refused(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model, pairs = tiny_model("llama"), examples(tiny_tokenizer)
    with pytest.raises(InputError, match=r"block is 3; the model has blocks 0 .. 2"):
        sm.fit(model, tiny_tokenizer, pairs, method=Counterfactual(block=3), progress=False)


@pytest.mark.slow
def test_it_refuses_harmful_requests_and_far_fewer_harmless_ones_than_a_fixed_push() -> None:
    model, tokenizer = load()
    asked = behaviour("refusal")

    def scores(method: ALQR | Counterfactual) -> dict[str, float]:
        steering = fit_behaviour(model, tokenizer, asked, seed=3, method=method)
        attached = steering.attach(model, 1.0, trace=False)
        found = measure(model, tokenizer, asked, attached, seed=5, count=200, knowledge=20)
        return {name: score.mean for name, score in found.scores.items()}

    fixed, learnt = scores(ALQR()), scores(Counterfactual())
    assert max(fixed["attack success"], learnt["attack success"]) < 0.15
    assert learnt["over-refusal"] < fixed["over-refusal"] - 0.3
