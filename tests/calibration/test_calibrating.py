"""From what can be afforded, or what is wanted, to a strength, on a tiny random model."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

import steersman as sm
from steersman.calibration import Budget, Estimate, Written, mean_over
from steersman.calibration.writing import Writer
from steersman.errors import AttachedError, InputError, MismatchError, NumericalError
from steersman.plant.hooks import hooked
from steersman.sampling import sample

Models = Callable[[str], PreTrainedModel]
Calibrate = Callable[..., sm.Calibration]
Sequences = list[tuple[Tensor, int]]

pytestmark = pytest.mark.filterwarnings("ignore:The separation could not be measured")

PROMPTS = ["the cat sat on the", "a bird ran and", "one tree", "the big dog said", "two house"]
NEW = 6


@pytest.fixture(scope="module")
def model(tiny_model: Models) -> PreTrainedModel:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def fitted(model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast) -> Any:
    """`fitted("a-lqr")`: a steering of that method."""
    pairs = sm.ContrastivePairs(
        desired=["the cat is good", "a dog is happy", "one bird is warm"],
        undesired=["the cat is bad", "a dog is sad", "one bird is cold"],
    )
    settings = {"positions": "all", "progress": False}
    return lambda method: sm.fit(model, tiny_tokenizer, pairs, method=method, **settings)


@pytest.fixture(scope="module")
def steering(fitted: Any) -> sm.Steering:
    return fitted("activation-addition")


@pytest.fixture
def calibrate(
    steering: sm.Steering, model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast
) -> Calibrate:
    def run(prompts: Any = PROMPTS, which: Any = None, **changed: Any) -> sm.Calibration:
        settings = {"new_tokens": NEW, "batch_size": 5, "progress": False, "tokens": "all"}
        settings["tolerance"] = 0.1
        return sm.calibrate(which or steering, model, tiny_tokenizer, prompts, **settings | changed)

    return run


@pytest.fixture
def written_by_hand(
    steering: sm.Steering, model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast
) -> Callable[[float], Sequences]:
    """Ids of every prompt with its text at a strength, and how many of them are of the text."""

    def write(strength: float) -> Sequences:
        with steering.attach(model, strength, tokens="all", trace=False):
            (batch,) = sample(model, tiny_tokenizer, PROMPTS, new_tokens=NEW, seed=0)
        return [
            (ids[mask.bool()], int(drawn.sum()))
            for ids, mask, drawn in zip(batch.ids, batch.mask, batch.drawn, strict=True)
        ]

    return write


def loss_of(model: PreTrainedModel, sequences: Sequences) -> Tensor:
    """The bare model's mean loss of each text, by its own labels."""
    losses = []
    for ids, count in sequences:
        labels = ids.clone()
        labels[:-count] = -100
        with torch.no_grad():
            losses.append(model(ids[None], labels=labels[None]).loss)
    return torch.stack(losses).double()


def se_of(values: Tensor) -> float:
    return float(values.std()) / math.sqrt(len(values))


class Changed:
    """A judge: which texts are others than those it saw first, those of the bare model."""

    def __init__(self) -> None:
        self.first: Sequence[str] = ()
        self.asked = 0

    def __call__(self, prompts: Sequence[Any], texts: Sequence[str]) -> list[bool]:
        assert len(prompts) == len(texts)
        self.asked += 1
        self.first = self.first or texts
        return [text != plain for text, plain in zip(texts, self.first, strict=True)]


def carries_hooks(model: PreTrainedModel) -> bool:
    return any(hooked(module) for module in model.modules())


def test_a_divergence_budget_is_used_up_and_not_exceeded(
    calibrate: Calibrate,
    steering: sm.Steering,
    model: PreTrainedModel,
    written_by_hand: Callable[[float], Sequences],
) -> None:
    found = calibrate(budget=sm.KL(0.05))
    beyond = next(point for point in found.curve if point.strength > found.strength)
    assert found.met and not found.notes
    assert found.value <= 0.05 < beyond.value
    assert beyond.strength - found.strength <= 0.1 * beyond.strength
    assert found.curve[0].strength == 0 and abs(found.curve[0].value) < 1e-6
    values = []
    for ids, count in written_by_hand(found.strength):
        places = slice(-count - 1, -1)
        with torch.no_grad():
            bare = model(ids[None]).logits[0, places].double().log_softmax(-1)
            with steering.attach(model, found.strength, tokens="all", trace=False):
                steered = model(ids[None]).logits[0, places].double().log_softmax(-1)
        values.append((steered.exp() * (steered - bare)).sum(-1).mean())
    by_hand = torch.stack(values)
    assert found.value == pytest.approx(float(by_hand.mean()), rel=1e-3)
    assert found.se == pytest.approx(se_of(by_hand), rel=1e-3)
    assert found.divergence == Estimate(found.value, found.se)
    assert found.interval is not None
    assert found.interval[0] < found.strength < found.interval[1]


def test_a_perplexity_budget_compares_each_prompt_with_itself(
    calibrate: Calibrate,
    model: PreTrainedModel,
    written_by_hand: Callable[[float], Sequences],
) -> None:
    found = calibrate(budget=sm.Perplexity(1.1))
    assert found.met and found.strength > 0
    steered = loss_of(model, written_by_hand(found.strength))
    rise = steered - loss_of(model, written_by_hand(0.0))
    assert found.value == pytest.approx(math.exp(float(rise.mean())), rel=1e-4)
    assert found.se == pytest.approx(found.value * se_of(rise), rel=1e-3)
    assert found.perplexity == Estimate(found.value, found.se)


def test_the_effort_of_a_plan_is_proportional_to_the_strength(
    calibrate: Calibrate,
    steering: sm.Steering,
    model: PreTrainedModel,
    written_by_hand: Callable[[float], Sequences],
) -> None:
    states: list[list[Tensor]] = [[], [], []]
    handles = [
        layer.register_forward_hook(lambda m, a, out, t=t: states[t].append(out[0].norm(dim=-1)))
        for t, layer in enumerate(model.model.layers)
    ]
    sequences = written_by_hand(0.0)
    for one in states:
        one.clear()
    with torch.no_grad():
        for ids, _ in sequences:
            model(ids[None])
    for handle in handles:
        handle.remove()
    lengths = torch.stack([torch.cat(one).median() for one in states])
    pushes = steering.plan.norm(dim=-1) / lengths
    at_one = float(pushes[pushes > 0].mean())
    found = calibrate(budget=sm.Effort(0.1))
    assert all(p.value == pytest.approx(p.strength * at_one, rel=1e-4) for p in found.curve)
    assert found.strength == pytest.approx(0.1 / at_one, rel=0.1)
    assert found.se < 1e-8


def test_the_smallest_strength_that_reaches_a_score_is_found(calibrate: Calibrate) -> None:
    found = calibrate(target=sm.Score(Changed(), at_least=0.6))
    assert found.met
    assert found.value >= 0.6
    weaker = [point for point in found.curve if point.strength < found.strength]
    assert weaker and all(point.value < 0.6 for point in weaker)


def test_a_score_may_fall_to_its_level(calibrate: Calibrate) -> None:
    judge = Changed()

    def same(prompts: Sequence[Any], texts: Sequence[str]) -> list[float]:
        return [-float(changed) for changed in judge(prompts, texts)]

    falls = calibrate(target=sm.Score(same, at_most=-0.2))
    rises = calibrate(target=sm.Score(Changed(), at_least=0.2))
    assert falls.met
    assert (falls.strength, falls.value) == (rises.strength, -rises.value)


def test_a_score_that_is_there_already_needs_no_strength(calibrate: Calibrate) -> None:
    found = calibrate(target=sm.Score(Changed(), at_least=0.0))
    assert (found.met, found.strength, len(found.curve)) == (True, 0.0, 1)
    assert "without steering" in found.notes[0]


def test_a_score_out_of_reach_is_not_called_reached(calibrate: Calibrate) -> None:
    judge = Changed()
    found = calibrate(target=sm.Score(judge, at_least=2.0), evaluations=9)
    best = max(found.curve, key=lambda point: point.value)
    assert not found.met
    assert found.value == best.value
    assert "not reached up to strength 8" in found.notes[-1]
    assert "NOT MET" in str(found)
    assert judge.asked == len(found.curve) <= 9


def test_a_budget_that_is_not_used_up_says_so(calibrate: Calibrate) -> None:
    found = calibrate(budget=sm.KL(50.0), maximum=2.0)
    assert (found.met, found.strength, found.interval) == (True, 2.0, None)
    assert "not used up" in found.notes[0]


def test_a_steering_that_acts_nowhere_is_called_idle(
    calibrate: Calibrate, steering: sm.Steering
) -> None:
    elsewhere = replace(
        steering, provenance=replace(steering.provenance, decision_tokens=(len(PROMPTS) + 90,))
    )
    found = calibrate(budget=sm.KL(0.05), tokens="matching", which=elsewhere)
    assert found.effort.value == 0.0
    assert "acts on no token" in found.notes[0]


def test_a_negative_maximum_searches_the_other_way(calibrate: Calibrate) -> None:
    down = calibrate(budget=sm.Effort(0.1), maximum=-8.0)
    up = calibrate(budget=sm.Effort(0.1))
    assert down.met
    assert [point.strength for point in down.curve] == [-point.strength for point in up.curve]
    assert down.strength == -up.strength


def test_an_absolute_reference_is_measured_at_zero(calibrate: Calibrate, fitted: Any) -> None:
    settings = {"reference": "absolute", "execution": "feedback", "which": fitted("a-lqr")}
    found = calibrate(budget=sm.KL(0.05), **settings)
    assert found.met
    assert found.curve[0].strength == 0 and found.curve[0].value > 1e-3
    none = calibrate(budget=sm.KL(found.curve[0].value / 2), **settings)
    assert (none.met, none.strength, len(none.curve)) == (False, 0.0, 1)
    assert "already: no strength will do" in none.notes[0]


def test_what_is_asked_of_attach_is_what_is_attached(calibrate: Calibrate, fitted: Any) -> None:
    ways: list[dict[str, Any]] = [
        {"tokens": "all"},
        {"tokens": "last"},
        {"tokens": "all", "execution": "feedback"},
    ]
    law, some = fitted("a-lqr"), {"prompts": PROMPTS[:2], "tolerance": 0.5, "evaluations": 7}
    found = {calibrate(budget=sm.KL(0.05), which=law, **some, **way).value for way in ways}
    assert len(found) == len(ways)
    other = fitted("feature-lqr")
    plain, anew = (
        calibrate(budget=sm.KL(0.05), which=other, relinearize=how, **some).curve[1].value
        for how in ("fit", "prompt")
    )
    assert plain != anew
    with pytest.raises(InputError, match="needs the plant's matrices"):
        calibrate(budget=sm.KL(0.05), which=law, relinearize="prompt")


def test_it_comes_out_the_same_again_and_otherwise_with_another_seed(calibrate: Calibrate) -> None:
    some = {"prompts": PROMPTS[:3], "budget": sm.KL(0.05)}
    first, again, other = (calibrate(**some, seed=seed) for seed in (0, 0, 7))
    assert first.curve == again.curve
    assert first.curve != other.curve


def test_several_features_are_calibrated_along_a_ray(
    calibrate: Calibrate, model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    pairs = {
        "mood": sm.ContrastivePairs(["the cat is happy"], ["the cat is sad"]),
        "size": sm.ContrastivePairs(["the cat is big"], ["the cat is small"]),
    }
    both = sm.fit(model, tiny_tokenizer, pairs, method="a-lqr", progress=False)
    ray = {"mood": 1.0, "size": -0.5}
    found = calibrate(budget=sm.Effort(0.1), which=both, along=ray)
    assert found.met and found.strength > 0
    assert found.target == {"mood": found.strength, "size": -0.5 * found.strength}
    assert found.to_json()["along"] == ray
    twice = calibrate(
        budget=sm.Effort(0.1), which=both, along={"mood": 2.0, "size": -1.0}, maximum=4.0
    )
    assert twice.target == found.target
    with pytest.raises(InputError, match="2 features"):
        calibrate(budget=sm.Effort(0.1), which=both)


class Longest(Budget):
    """A budget of somebody's own: the mean number of words."""

    name = "length"
    unit = "words"

    def estimate(self, seen: Written, plain: Written) -> Estimate:
        return mean_over(torch.tensor([float(len(text.split())) for text in seen.texts]))


def test_a_budget_of_ones_own_is_kept(calibrate: Calibrate) -> None:
    found = calibrate(budget=Longest(20.0))
    assert found.met
    assert "length" in str(found) and "words" in str(found)


def test_conversations_are_prompts_too(calibrate: Calibrate) -> None:
    chats = [[{"role": "user", "content": prompt}] for prompt in PROMPTS]
    assert calibrate(chats, budget=sm.KL(0.05)).met


def test_one_prompt_has_no_standard_error(calibrate: Calibrate) -> None:
    found = calibrate(PROMPTS[:1], budget=sm.KL(0.05))
    assert math.isnan(found.se) and found.interval is None
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["se"] is None


def test_a_result_is_drawn_and_written_down(calibrate: Calibrate) -> None:
    found = calibrate(budget=sm.KL(0.05))
    label = str(found.plot().get_label())
    assert label.startswith(f"KL, nats per token against strength, {len(found.curve)} strengths")
    assert f"the chosen strength {found.strength:.3g}, 0.05 was asked for" in label
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert data["aim"] == "KL at most 0.05"
    assert [point["value"] for point in data["curve"]] == [point.value for point in found.curve]


@pytest.mark.parametrize(
    ("said", "changed"),
    [
        ("no prompts", {"prompts": []}),
        ("one text", {"prompts": "the cat"}),
        ("prompt 1 is empty", {"prompts": ["the cat", " "]}),
        ("contrastive pairs", {"prompts": sm.ContrastivePairs(["good"], ["bad"])}),
        ("either a budget or a target", {"target": sm.Score(Changed(), 1.0)}),
        ("either a budget or a target", {"budget": None}),
        ("maximum is 0", {"maximum": 0.0}),
        ("tolerance", {"tolerance": 1.0}),
        ("at least 7", {"evaluations": 6}),
        ("new_tokens is 0", {"new_tokens": 0}),
        ("batch_size 0", {"batch_size": 0}),
        ("limit is 4", {"new_tokens": 60}),
        ("execution is 'slow'", {"execution": "slow"}),
        ("correction", {"correction": 5.0}),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_calibrated_is_refused_before_anything_runs(
    calibrate: Calibrate, model: PreTrainedModel, said: str, changed: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=said):
        calibrate(**{"budget": sm.KL(0.05)} | changed)
    assert not carries_hooks(model)


def test_a_steering_of_another_model_is_refused(
    steering: sm.Steering, tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(MismatchError, match="gpt2 here"):
        sm.calibrate(steering, tiny_model("gpt2"), tiny_tokenizer, PROMPTS, budget=sm.KL(0.05))


def test_a_model_that_is_steered_already_is_refused(
    calibrate: Calibrate, steering: sm.Steering, model: PreTrainedModel
) -> None:
    with steering.attach(model), pytest.raises(AttachedError, match="already carries"):
        calibrate(budget=sm.KL(0.05))


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("returned 2 scores for 5 prompts", [1.0, 2.0]),
        ("returned nan for prompt 3", [1.0, 2.0, 3.0, math.nan, 5.0]),
        ("returned 'good', which is no number", ["good"] * 5),
    ],
)
def test_a_judge_that_does_not_score_every_text_is_refused(
    calibrate: Calibrate, model: PreTrainedModel, said: str, answer: list[Any]
) -> None:
    with pytest.raises(InputError, match=said):
        calibrate(target=sm.Score(lambda prompts, texts: answer, at_least=0.5))
    assert not carries_hooks(model)


@pytest.mark.parametrize("kind", [list, tuple, torch.tensor, lambda v: torch.tensor(v).numpy()])
def test_a_judge_may_answer_in_any_form(calibrate: Calibrate, kind: Callable[..., Any]) -> None:
    def judge(prompts: Sequence[Any], texts: Sequence[str]) -> Any:
        return kind([True, False, True, True, False])

    assert calibrate(target=sm.Score(judge, at_most=0.7)).value == pytest.approx(0.6)


def test_an_interrupt_leaves_nothing_behind(
    calibrate: Calibrate, model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    forwards = 0

    def interrupt(*given: Any) -> None:
        nonlocal forwards
        forwards += 1
        if forwards == 40:
            raise KeyboardInterrupt

    handle = model.lm_head.register_forward_pre_hook(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            calibrate(budget=sm.KL(0.05))
    finally:
        handle.remove()
    assert not carries_hooks(model)


def test_logits_that_overflow_name_the_strength(
    calibrate: Calibrate, steering: sm.Steering
) -> None:
    plan = steering.controller.plan / steering.plan.abs().max() * 3e38  # twice that is infinite
    huge = replace(steering, controller=replace(steering.controller, plan=plan))
    with pytest.raises(NumericalError, match=r"at strength 2: .*not finite"):
        calibrate(budget=sm.KL(1e6), which=huge)


def test_progress_says_beforehand_how_long_it_takes(
    calibrate: Calibrate, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrate(budget=sm.KL(0.05), progress=True)
    told = capsys.readouterr().err
    assert "at most 16 strengths: about" in told
    assert "strength 0.5" in told


def test_strength_zero_writes_what_the_bare_model_writes_whatever_the_batch_before_wrote(
    steering: sm.Steering, model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    def writer(*prompts: str) -> Writer:
        def attach(strength: float) -> sm.Run:
            return steering.attach(model, strength, tokens="all")

        return Writer(model, tiny_tokenizer, prompts, attach, NEW, 0, 2, lambda count: None)

    bare = writer(*PROMPTS[:4]).write(None)
    still = writer(*PROMPTS[:4]).write(0.0)
    assert still.texts == bare.texts
    assert torch.equal(still.loss, bare.loss)
    assert not still.inputs.any()
    other = writer("tree tree tree", "two", *PROMPTS[2:4]).write(None)
    assert other.texts[:2] != bare.texts[:2]
    assert other.texts[2:] == bare.texts[2:]
