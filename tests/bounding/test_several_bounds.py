"""Of several features each has a bound of its own, while all of them are steered."""

from pathlib import Path
from typing import Any

import pytest
import torch

import steersman as sm
from steersman.bounding import TrackingBound
from steersman.bounding.attachment import Attachment
from steersman.errors import InputError, MismatchError
from steersman.plant import capture_sequence

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
TARGET = {"first": 1.0, "second": -0.5}
WAYS = [("a-lqr", "feedback"), ("a-lqr", "plan"), ("feature-lqr", "feedback")]


@pytest.fixture(scope="module", params=WAYS, ids=str)
def case(request: Any, tiny: Any) -> Any:
    """The tiny model and a steering of two features, and how it runs."""
    method, execution = request.param
    words = [prompt.split() for prompt in tiny.prompts]
    sides = [" ".join(w) for w in words[:6]], [" ".join(w) for w in words[6:12]]
    pairs = {
        "first": sm.ContrastivePairs(desired=sides[0], undesired=sides[1]),
        "second": sm.ContrastivePairs(desired=sides[0][::2], undesired=sides[0][1::2]),
    }
    steering = sm.fit(
        tiny.model,
        tiny.tokenizer,
        pairs,
        method=method,
        jacobian_prompts=tiny.plant,
        progress=False,
    )
    return tiny, steering, execution


def bounded(case: Any, feature: str, **settings: Any) -> TrackingBound:
    tiny, steering, execution = case
    given = {"plant": tiny.plant, "level": 0.8, "progress": False, "target": TARGET} | settings
    return sm.bound(
        steering,
        tiny.model,
        tiny.tokenizer,
        tiny.prompts[12:18],
        feature=feature,
        execution=execution,
        **given,
    )


@pytest.mark.parametrize("feature", list(TARGET))
def test_its_errors_are_those_of_its_own_feature(case: Any, feature: str, tmp_path: Path) -> None:
    tiny, steering, execution = case
    found = bounded(case, feature)
    d, errors = steering.features.directions[feature], []
    for prompt in tiny.prompts[18:21]:
        ids = tiny.tokenizer([prompt], return_tensors="pt").input_ids
        last = [ids.shape[1] - 1]
        bare = capture_sequence(tiny.model, ids, last)[0].double()
        with steering.attach(tiny.model, TARGET, tokens="last", execution=execution):
            moved = capture_sequence(tiny.model, ids, last)[0].double() - bare
        natural = (moved * d.vectors).sum(1) / d.norm
        errors.append((natural - found.predicted).abs())
    held = found.coverage(tiny.model, tiny.tokenizer, tiny.prompts[18:21])
    counted = found.foresight.counted
    torch.testing.assert_close(
        held.errors[:, counted], torch.stack(errors)[:, counted], rtol=1e-6, atol=1e-9
    )
    again = TrackingBound.from_json(found.to_json(tmp_path / "b.json"), steering)
    assert again.attachment.target == TARGET and again.attachment.name == feature
    assert torch.equal(again.band("conformal").radius, found.band("conformal").radius)


def test_the_prediction_ends_at_the_targets(case: Any) -> None:
    tiny, steering, execution = case
    for feature, target in TARGET.items():
        one = Attachment(steering, tiny.plant, TARGET, execution, feature=feature)
        ends = float(one.vectors[-1] @ one.predicted[-1] / one.unit[-1])
        assert ends == pytest.approx(target, abs=1e-4)


def test_a_run_is_certified_by_the_trace_of_the_feature(case: Any) -> None:
    tiny, steering, execution = case
    bounds = {feature: bounded(case, feature) for feature in TARGET}
    ids = tiny.tokenizer(tiny.prompts[20:21], return_tensors="pt").input_ids
    attached = steering.attach(tiny.model, TARGET, tokens="last", execution=execution)
    with attached as run, torch.no_grad():
        tiny.model(ids)
    first, second = run.traces()
    for bound, trace in zip(bounds.values(), (first, second), strict=True):
        assert bound.certify(trace, model=tiny.model).holds("blockwise") in (True, False)
    with pytest.raises(MismatchError, match="trace is of the feature 'second'; the bound is of"):
        bounds["first"].certify(second, model=tiny.model)


def test_the_feature_and_its_targets_have_to_be_named(case: Any) -> None:
    tiny, steering, _ = case
    with pytest.raises(InputError, match="this steering has 'first' and 'second': name it, as in"):
        Attachment(steering, tiny.plant, TARGET)
    with pytest.raises(InputError, match="there is no feature 'third'"):
        Attachment(steering, tiny.plant, TARGET, feature="third")
    with pytest.raises(InputError, match="give the strength of each by its name"):
        Attachment(steering, tiny.plant, 1.0, feature="first")
    with pytest.raises(InputError, match="target names 'third'"):
        Attachment(steering, tiny.plant, {"third": 1.0}, feature="first")
    with pytest.raises(InputError, match="a bound is of one that is not zero"):
        Attachment(steering, tiny.plant, {"first": 0.0, "second": 0.0}, feature="first")
