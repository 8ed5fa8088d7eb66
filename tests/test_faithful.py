"""Steerings that move their feature as examples do are told from those that do it their own way."""

import warnings
from typing import Any

import pytest
import torch

import steersman as sm
from steersman.control import LTVSystem
from steersman.errors import InputError, MismatchError
from steersman.plant import average
from steersman.windtunnel import behaviour, load

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def world() -> tuple[Any, Any, sm.ContrastivePairs, sm.ContrastivePairs, Any]:
    """The embedded model, pairs to fit on, others to judge by, and the plant."""
    model, tokenizer = load()
    asked = behaviour("truthfulness")
    mine, others = asked.pairs(0, 80), asked.pairs(77, 40)
    plant = average(model, tokenizer, mine.desired[:8], progress=False)
    return model, tokenizer, mine, others, LTVSystem(_matrices(plant))


def _matrices(plant: Any) -> torch.Tensor:
    eye = torch.eye(plant.n)
    return torch.stack([plant.jvp(block, eye) for block in range(plant.blocks)])


def judged(world: Any, actuators: Any, observer: str, **settings: Any) -> sm.Faithfulness:
    model, tokenizer, mine, others, plant = world
    steering = sm.fit(
        model,
        tokenizer,
        mine,
        method=sm.FeatureLQR(actuators=actuators),
        observer=observer,
        jacobian_prompts=plant,
        batch_size=40,
        progress=False,
    )
    given = {"batch_size": 40, "probe": "probe:0.01", "progress": False, **settings}
    return sm.faithfulness(steering, model, tokenizer, others, **given)


@pytest.mark.parametrize(("actuators", "observer"), [("contrast", "mean"), ("natural", "whitened")])
def test_acting_as_the_examples_differ_is_faithful(
    actuators: str, observer: str, world: Any
) -> None:
    found = judged(world, actuators, observer)
    assert found.faithful and found.verdict.startswith("Faithful")
    assert found.agreement == pytest.approx(1.0, abs=0.1)
    assert found.excess < 1.3
    assert [row.state for row in found.rows] == [1, 2, 3, 4, 5, 6]
    assert found.rows[-1].feature == pytest.approx(1.0, abs=0.25)


def test_least_effort_for_a_whitened_feature_is_unfaithful(world: Any) -> None:
    found = judged(world, "state", "whitened")
    assert not found.faithful and found.verdict.startswith("Unfaithful")
    # The feature arrives, and what else tells the examples apart does not move at all.
    assert found.rows[-1].feature == pytest.approx(1.0, abs=0.1)
    assert found.agreement < 0.1


def test_least_effort_for_the_mean_takes_states_where_no_example_is(world: Any) -> None:
    found = judged(world, "state", "mean")
    assert found.agrees and not found.natural and found.verdict.startswith("Doubtful")
    assert found.excess > 2


def test_half_the_target_is_half_the_way_on_prompts_of_ones_own(world: Any) -> None:
    prompts = list(world[3].undesired[:20])
    whole = judged(world, "contrast", "mean", prompts=prompts)
    half = judged(world, "contrast", "mean", prompts=prompts, target=0.5)
    assert half.target == 0.5
    assert half.rows[-1].feature == pytest.approx(whole.rows[-1].feature / 2, rel=0.2)
    assert half.rows[-1].unsteered == pytest.approx(whole.rows[-1].unsteered)
    assert half.rows[-1].feature_se > 0


def test_the_summary_shows_every_state_and_the_verdict(world: Any) -> None:
    found = judged(world, "contrast", "mean")
    lines = found.summary().splitlines()
    assert lines[0].split() == list(found.table.columns)
    assert len(lines) == 8 and lines[-1] == found.verdict
    assert found.table.headline == found.verdict


def words(tokenizer: Any) -> list[str]:
    return [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]


def examples(tokenizer: Any, count: int, start: int = 2) -> sm.ContrastivePairs:
    known = words(tokenizer)
    return sm.ContrastivePairs(
        desired=[f"{known[i]} {known[i + 1]} {known[0]}" for i in range(start, start + count)],
        undesired=[f"{known[-i]} {known[-i - 1]} {known[0]}" for i in range(start, start + count)],
    )


def test_of_several_features_one_is_judged(tiny_model: Any, tiny_tokenizer: Any) -> None:
    model, known = tiny_model("llama"), words(tiny_tokenizer)
    first = examples(tiny_tokenizer, 10)
    second = sm.ContrastivePairs(
        [f"{known[i]} {known[5]} {known[0]}" for i in range(2, 12)],
        [f"{known[i]} {known[9]} {known[0]}" for i in range(2, 12)],
    )
    pairs = {"one": first, "two": second}
    steering = sm.fit(model, tiny_tokenizer, pairs, method="feature-lqr", progress=False)
    found = sm.faithfulness(
        steering, model, tiny_tokenizer, second, feature="two", probe="mean", progress=False
    )
    assert found.rows[-1].feature == pytest.approx(1.0, abs=0.3)
    assert found.examples == 10
    with pytest.raises(InputError, match="no feature 'three'"):
        sm.faithfulness(steering, model, tiny_tokenizer, second, feature="three", progress=False)
    with pytest.raises(InputError, match="there are 2 features"):
        sm.faithfulness(steering, model, tiny_tokenizer, second, progress=False)


def test_aligned_pairs_are_judged_at_their_continuations(
    tiny_model: Any, tiny_tokenizer: Any
) -> None:
    model, known = tiny_model("gpt2"), words(tiny_tokenizer)
    pairs = sm.AlignedPairs.of(
        desired=[known[-1], known[-2]],
        undesired=[known[-3], known[-4]],
        continuations=[f"{known[i]} {known[i + 1]}" for i in range(2, 8)],
        combine="product",
    )
    method = sm.ActivationAddition(block=1)
    steering = sm.fit(model, tiny_tokenizer, pairs, method=method, progress=False)
    found = sm.faithfulness(
        steering, model, tiny_tokenizer, pairs, probe="mean", tokens="all", progress=False
    )
    # What is added at the output of block 1 is the contrast itself.
    assert found.rows[0].feature == pytest.approx(0.0, abs=1e-5)
    assert found.rows[1].feature == pytest.approx(1.0, abs=1e-4)
    assert found.rows[0].agreement != found.rows[0].agreement
    assert found.rows[1].excess < 1.1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"target": 0.0}, "target is 0: nothing is pushed"),
        ({"few": True}, "4 examples of a side cannot judge"),
        ({"positions": "regex:^\\w+"}, "it does not act there"),
    ],
)
def test_what_cannot_be_judged_is_refused(
    settings: dict[str, Any], says: str, tiny_model: Any, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    steering = sm.fit(model, tiny_tokenizer, examples(tiny_tokenizer, 10), progress=False)
    others = examples(tiny_tokenizer, 4 if settings.pop("few", False) else 10, start=3)
    with pytest.raises(InputError, match=says):
        sm.faithfulness(steering, model, tiny_tokenizer, others, progress=False, **settings)
    with pytest.raises(MismatchError):
        sm.faithfulness(steering, tiny_model("gpt2"), tiny_tokenizer, examples(tiny_tokenizer, 10))


def test_judging_leaves_no_hook(tiny_model: Any, tiny_tokenizer: Any) -> None:
    model = tiny_model("llama")
    steering = sm.fit(model, tiny_tokenizer, examples(tiny_tokenizer, 10), progress=False)
    ids = torch.arange(6, 12)[None]
    with warnings.catch_warnings(), torch.no_grad():
        before = model(ids).logits
        sm.faithfulness(
            steering, model, tiny_tokenizer, examples(tiny_tokenizer, 10, 3), progress=False
        )
        assert torch.equal(model(ids).logits, before)
