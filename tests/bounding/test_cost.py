"""The cost of a feature LQR on the model against what its design says."""

from typing import Any

import pytest
import torch

from steersman.bounding import Attachment, realised_cost, without_prefilter
from steersman.control import LTVSystem
from steersman.errors import InputError
from steersman.plant import capture_sequence, jacobians, tokenize

WAYS = ["plan", "feedback"]


@pytest.mark.parametrize("execution", WAYS)
def test_the_optimum_costs_on_the_plant_what_its_cost_to_go_says(execution: Any, tiny: Any) -> None:
    steering = without_prefilter(tiny.f, tiny.plant)
    one = Attachment(steering, tiny.plant, 0.7, execution)
    found = realised_cost(one, tiny.model, tiny.tokenizer, tiny.prompts[:1])
    assert found.predicted == pytest.approx(found.optimum, rel=1e-5)
    scaled = Attachment(tiny.f, tiny.plant, 0.7, execution)
    dearer = realised_cost(scaled, tiny.model, tiny.tokenizer, tiny.prompts[:1])
    assert dearer.optimum == pytest.approx(found.optimum, rel=1e-9)
    assert dearer.predicted > found.optimum


@pytest.mark.parametrize("execution", WAYS)
def test_a_small_push_on_the_runs_own_plant_costs_what_is_predicted(
    execution: Any, tiny: Any
) -> None:
    """Without mismatch and, nearly, without curvature, nothing is left but rounding."""
    ids = torch.tensor([tokenize(tiny.tokenizer, tiny.prompts[:1])[0].ids])
    plant = LTVSystem(jacobians(tiny.model, ids).double())
    steering = without_prefilter(tiny.f, plant)
    gaps = []
    for target in (0.02, 0.01):
        one = Attachment(steering, plant, target, execution)
        found = realised_cost(one, tiny.model, tiny.tokenizer, tiny.prompts[:1])
        gaps.append(abs(found.ratio[0] - 1))
    assert gaps[0] < 0.02
    assert gaps[1] < 0.7 * gaps[0]


def test_the_realised_cost_is_that_of_features_and_inputs(tiny: Any) -> None:
    found = realised_cost(
        Attachment(tiny.f, tiny.plant, 1.2), tiny.model, tiny.tokenizer, tiny.prompts[:2]
    )
    d, q = tiny.f.direction, tiny.f.method.q
    for row, prompt in enumerate(tiny.prompts[:2]):
        ids = torch.tensor([tokenize(tiny.tokenizer, [prompt])[0].ids])
        last = [ids.shape[1] - 1]
        bare = capture_sequence(tiny.model, ids, last)[0]
        with tiny.f.attach(tiny.model, 1.2, tokens="last"):
            moved = capture_sequence(tiny.model, ids, last)[0] - bare
        errors = ((d.vectors * moved).sum(1) / d.norm - 1.2)[1:].square()
        tracking = q * errors[:-1].sum() + errors[-1]
        effort = (1.2 * tiny.f.plan).square().sum() / d.norm[-1] ** 2
        assert float(found.tracking[row]) == pytest.approx(float(tracking), rel=1e-4)
        assert float(found.effort[row]) == pytest.approx(float(effort), rel=1e-4)
    ratio, se = found.ratio
    assert ratio == pytest.approx(float((found.predicted / found.realised).mean()))
    assert se >= 0


def test_blocks_that_must_not_act_cost_nothing(embedded: Any) -> None:
    from dataclasses import replace

    only = replace(embedded.f, method=replace(embedded.f.method, blocks=(2, 4)))
    steering = without_prefilter(only, embedded.plant)
    one = Attachment(steering, embedded.plant, 1.0, "feedback")
    found = realised_cost(one, embedded.model, embedded.tokenizer, embedded.prompts[:2])
    assert bool(torch.isfinite(found.realised).all())
    assert found.predicted == pytest.approx(found.optimum, rel=1e-4)
    assert found.ratio[0] == pytest.approx(1, abs=0.1)


def test_only_a_feature_lqr_states_such_a_cost(tiny: Any) -> None:
    with pytest.raises(InputError, match="a-lqr states no cost of the feature"):
        without_prefilter(tiny.a, tiny.plant)
    with pytest.raises(InputError, match="a-lqr states no cost of the feature"):
        realised_cost(Attachment(tiny.a, tiny.plant), tiny.model, tiny.tokenizer, tiny.prompts[:1])
