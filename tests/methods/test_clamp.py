"""The clamp: the feature is set behind one block, exactly, by the shortest push that does it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_evidence import BLOCKS, LinearWorld, N, randn
from torch import Tensor
from transformers import PreTrainedModel

import steersman as sm
from steersman.directions import Direction, Features, contrast
from steersman.errors import InputError
from steersman.methods import Clamp, Evidence
from steersman.plant import HookSet, hidden_out, locate

Models = Callable[[str], PreTrainedModel]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
WORLD = LinearWorld.random()
IDS = torch.arange(6, 14)[None]


def two_features() -> Features:
    """Features that are alike."""
    made: dict[str, Direction] = {}
    for index, name in enumerate(("truth", "mood")):
        push = randn(1, BLOCKS + 1, N) + randn(2 + index, BLOCKS + 1, N)
        noise = randn(5 + index, 40, BLOCKS + 1, N)
        made[name] = contrast(noise[:20] + 3 * push, noise[20:])
    return Features(made)


@pytest.mark.parametrize("block", [-1, 0, 3])
def test_a_unit_of_target_is_a_unit_of_the_feature_behind_the_block(block: int) -> None:
    made, direction = Clamp(block).solve(WORLD.evidence), WORLD.direction
    state = BLOCKS if block < 0 else block + 1
    assert made.active == (state - 1,)
    moved = WORLD.run(WORLD.undesired, 0.7 * made.plan[..., 0]) - WORLD.run(WORLD.undesired)
    found = (moved * direction.vectors).sum(1) / direction.norm
    assert float(found[state]) == pytest.approx(0.7)
    assert not found[:state].any()


@pytest.mark.parametrize("asked", [[1.0, 0.0], [0.3, -2.0]])
def test_of_several_features_each_moves_by_its_own_target_and_no_push_is_shorter(
    asked: list[float],
) -> None:
    features, target = two_features(), torch.tensor(asked).double()
    u = Clamp().solve(Evidence(features)).plan[-1] @ target
    V, unit = features.vectors[-1], features.norm[-1]
    torch.testing.assert_close(V.T @ u / unit, target)
    shortest = torch.linalg.lstsq(V.T, target * unit, driver="gelsd").solution
    torch.testing.assert_close(u, shortest)


@pytest.fixture(scope="module")
def pairs(tiny_tokenizer: Any) -> sm.ContrastivePairs:
    words = [w for w in sorted(tiny_tokenizer.get_vocab()) if w.isalpha()]
    return sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]} {words[0]}" for i in range(2, 8)],
        undesired=[f"{words[-i]} {words[-i - 1]} {words[0]}" for i in range(2, 8)],
    )


def fitted(model: Any, tokenizer: Any, pairs: Any, method: Any, **how: Any) -> sm.Steering:
    return sm.fit(model, tokenizer, pairs, method=method, progress=False, **how)


def behind(model: Any, block: int, run: Callable[[], Any]) -> Tensor:
    """What comes out of a block, with everything added to it, over all tokens that were run."""
    seen: list[Tensor] = []
    with HookSet() as hooks:
        hooks.after(locate(model).modules[block], lambda a, k, out: seen.append(hidden_out(out)))
        run()
    return torch.cat(seen, dim=1)


def forward(model: Any) -> Callable[[], Any]:
    return torch.no_grad()(lambda: model(IDS))


@pytest.mark.parametrize("observer", ["mean", "whitened"])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_an_absolute_clamp_is_at_its_value_at_every_token(
    name: str, observer: str, tiny_model: Models, tiny_tokenizer: Any, pairs: Any, tmp_path: Path
) -> None:
    model = tiny_model(name)
    made = fitted(model, tiny_tokenizer, pairs, "clamp", observer=observer)
    loaded = sm.Steering.from_pretrained(made.save_pretrained(tmp_path / "s"))
    for steering in (made, loaded):
        attached = steering.attach(model, 0.3, reference="absolute", tokens="all")
        with attached as run, torch.no_grad():
            model(IDS)
        d, trace = steering.direction, run.trace
        assert trace.final is not None
        found = (trace.final - d.origin[-1]) / d.norm[-1]
        torch.testing.assert_close(found, torch.full_like(found, 0.3), rtol=0, atol=1e-4)
        assert not trace.effort[:, :-1].any() and (trace.effort[:, -1] > 0).all()


def test_several_features_are_held_while_text_is_written(
    tiny_model: Models, tiny_tokenizer: Any, pairs: sm.ContrastivePairs
) -> None:
    model = tiny_model("llama")
    other = sm.ContrastivePairs(desired=pairs.undesired[:3] * 2, undesired=pairs.undesired[3:] * 2)
    steering = fitted(model, tiny_tokenizer, {"truth": pairs, "mood": other}, "clamp")
    target = {"truth": 0.5, "mood": -1.0}
    attached = steering.attach(model, target, reference="absolute", tokens="last")
    with attached as run:
        writer: Any = model
        writer.generate(IDS, min_new_tokens=6, max_new_tokens=6, do_sample=False, pad_token_id=0)
    for trace, asked in zip(run.traces(), target.values(), strict=True):
        d = steering.features.directions[trace.name]
        assert trace.final is not None
        found = ((trace.final - d.origin[-1]) / d.norm[-1])[trace.steered]
        assert len(found) == 6
        torch.testing.assert_close(found, torch.full_like(found, asked), rtol=0, atol=1e-4)


@pytest.mark.parametrize("block", [1, -1])
@pytest.mark.parametrize("execution", ["plan", "feedback"])
def test_a_relative_clamp_adds_the_scaled_direction_to_every_token(
    execution: Any, block: int, tiny_model: Models, tiny_tokenizer: Any, pairs: Any
) -> None:
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, pairs, Clamp(block))
    bare = behind(model, block, forward(model))
    with steering.attach(model, 0.7, tokens="all", execution=execution):
        passes = behind(model, block, forward(model))
    d, state = steering.direction, block + 1 if block >= 0 else -1
    expected = 0.7 * d.norm[state] * d.vectors[state]
    # Behind the unsteered pass of feedback, the steered one.
    moved = passes[:, -IDS.shape[1] :] - bare
    torch.testing.assert_close(moved, expected.expand_as(moved), rtol=1e-4, atol=1e-5)


def test_a_value_behind_an_earlier_block_is_refused(
    tiny_model: Models, tiny_tokenizer: Any, pairs: Any
) -> None:
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, pairs, Clamp(1))
    with pytest.raises(InputError, match="a clamp behind block 1 does not know .* block=2"):
        steering.attach(model, 0.3, reference="absolute")


@pytest.mark.parametrize("block", [-2, BLOCKS])
def test_a_block_that_does_not_exist_is_refused(block: int) -> None:
    with pytest.raises(InputError, match=rf"block is {block}; the model has blocks 0 \.\. 4"):
        Clamp(block).solve(WORLD.evidence)


def test_where_the_examples_do_not_differ_nothing_can_be_set() -> None:
    features = two_features()
    mood = features.directions["mood"]
    noise = randn(9, 8, BLOCKS + 1, N)
    noise[:4, 2] = noise[4:, 2]
    nowhere = Features({"mood": mood, "truth": contrast(noise[:4], noise[4:])})
    with pytest.raises(InputError, match="do not differ in 'truth' behind block 1"):
        Clamp(1).solve(Evidence(nowhere))


def test_features_that_are_one_cannot_be_set_apart() -> None:
    mood = two_features().directions["mood"]
    with pytest.raises(InputError, match="linearly dependent directions at state 5"):
        Clamp().solve(Evidence(Features({"mood": mood, "tone": mood})))
