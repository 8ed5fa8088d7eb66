"""Bounds from calibration prompts: what they hold on other prompts, and what is refused."""

import math
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import steersman as sm
from steersman.bounding import TrackingBound
from steersman.control import LTVSystem
from steersman.errors import InputError, MismatchError, UnknownNameError
from steersman.plots import figure_svg

CALIBRATION = 24


def bounded(case: Any, which: str = "a", count: int = 6, **settings: Any) -> TrackingBound:
    given = {"plant": case.plant, "level": 0.8, "progress": False} | settings
    prompts = case.prompts[:count]
    return sm.bound(getattr(case, which), case.model, case.tokenizer, prompts, **given)


@pytest.fixture(scope="module")
def of_toxicity(embedded: Any) -> Iterator[TrackingBound]:
    yield bounded(embedded, "f", CALIBRATION, level=0.9)


def test_worst_cases_hold_on_other_prompts_and_are_not_empty(
    embedded: Any, of_toxicity: TrackingBound
) -> None:
    others = embedded.prompts[CALIBRATION:]
    coverage = of_toxicity.coverage(embedded.model, embedded.tokenizer, others)
    rows = {row.name: row for row in coverage.rows()}
    assert list(rows) == ["conformal", "conformal, all", "blockwise", "norm", "whole state"]
    for name in ("blockwise", "norm", "whole state"):
        assert rows[name].pairs >= 0.99
    assert rows["conformal"].tightness < 1.5
    assert rows["blockwise"].tightness < 3
    assert rows["whole state"].tightness < 4
    assert rows["conformal"].tightness < rows["blockwise"].tightness < rows["norm"].tightness
    # Four standard deviations of the Beta(23, 2) that a level of 0.9 on 24 prompts comes to.
    assert rows["conformal"].pairs > 0.9 - 4 * 0.053
    held, tightness = coverage.by_state("blockwise")
    assert held.isnan().tolist() == (~of_toxicity.foresight.counted).tolist()
    assert float(tightness[-1]) > 1
    assert "40 prompts, 5 states each" in coverage.table()
    assert figure_svg(coverage.plot()).startswith("<svg")


def test_the_conformal_band_is_the_ranked_error_of_the_calibration_prompts(
    of_toxicity: TrackingBound,
) -> None:
    errors = of_toxicity.calibration.errors
    rank = math.ceil(0.9 * (CALIBRATION + 1))
    expected = errors.sort(dim=0).values[rank - 1]
    assert torch.equal(of_toxicity.band("conformal").radius, expected)
    held = errors <= of_toxicity.band("conformal, all").radius
    assert int(held[:, of_toxicity.foresight.counted].all(dim=1).sum()) == rank


def test_another_level_is_another_rank(of_toxicity: TrackingBound) -> None:
    wider = of_toxicity.at_level(0.96)
    counted = of_toxicity.foresight.counted
    most = of_toxicity.calibration.errors.amax(dim=0)
    assert torch.equal(wider.band("conformal").radius, most)
    assert torch.equal(wider.band("norm").radius, of_toxicity.band("norm").radius)
    every = wider.band("conformal, all").radius >= of_toxicity.band("conformal, all").radius
    assert bool(every[counted].all())
    with pytest.raises(InputError, match="level 0.99 needs at least 99 calibration prompts; 24"):
        of_toxicity.at_level(0.99)


@pytest.mark.parametrize(("which", "execution"), [("a", "feedback"), ("f", "plan")])
def test_what_a_bound_was_made_from_is_within_its_worst_cases(
    which: str, execution: Any, tiny: Any
) -> None:
    """On a random model, which is far from linear, and without any safety."""
    found = bounded(tiny, which, execution=execution, new_tokens=2, safety=1.0)
    for name in ("blockwise", "norm"):
        radius = found.band(name).radius * (1 + 1e-9) + 1e-9
        assert bool((found.calibration.errors <= radius).all())


def test_safety_makes_worst_cases_wider_and_leaves_the_others(tiny: Any) -> None:
    once, twice = (bounded(tiny, safety=safety) for safety in (1.0, 2.0))
    state = once.foresight.counted.nonzero()[-1]
    torch.testing.assert_close(twice.band("blockwise").radius, 2 * once.band("blockwise").radius)
    assert float(twice.band("norm").radius[state]) > 1.9 * float(once.band("norm").radius[state])
    assert torch.equal(twice.band("conformal").radius, once.band("conformal").radius)


def test_the_prediction_is_the_same_for_every_prompt(tiny: Any) -> None:
    found = bounded(tiny, target=0.5)
    assert float(found.predicted[-1]) == pytest.approx(0.5, rel=1e-4)
    assert found.predicted.isnan().tolist() == [True, False, False, False]


def test_without_a_plant_the_first_prompts_make_one(tiny: Any) -> None:
    found = bounded(tiny, count=9, plant=None)
    assert len(found.calibration.errors) == 6
    system = found.attachment.plant
    expected = sm.identify(tiny.model, tiny.tokenizer, tiny.prompts[:3], progress=False)
    assert isinstance(system, LTVSystem)
    torch.testing.assert_close(system.A, expected.A)


def test_a_plant_of_products_gives_the_bands_that_need_no_matrices(tiny: Any) -> None:
    found = bounded(tiny, "f", count=9, plant=None)
    assert [band.name for band in found.bands] == ["conformal", "conformal, all", "blockwise"]
    assert found.state_radius is None
    coverage = found.coverage(tiny.model, tiny.tokenizer, tiny.prompts[15:17])
    assert len(coverage.rows()) == 3


def test_the_budget_adds_up_to_the_mean_error_of_the_final_feature(tiny: Any) -> None:
    found = bounded(tiny)
    rows = found.budget()
    assert [row.block for row in rows] == [0, 1, 2]
    mean = found.calibration.signed.sum(dim=1)
    assert sum(row.mean for row in rows) == pytest.approx(float(mean.mean()), abs=1e-9)
    torch.testing.assert_close(mean.abs(), found.calibration.errors[:, -1], atol=1e-8, rtol=1e-6)
    assert all(abs(row.mean) <= row.most for row in rows)


def test_the_table_says_what_is_promised(of_toxicity: TrackingBound) -> None:
    lines = of_toxicity.table().splitlines()
    assert lines[0].split()[:2] == ["state", "predicted"]
    assert [line.split()[0] for line in lines[1:6]] == ["2", "3", "4", "5", "6"]
    promises = [line.split(": ", 1) for line in lines[6:]]
    assert [name for name, _ in promises] == ["conformal", "conformal, all", "blockwise", "norm"]
    assert "probability 0.9 or more over the 24 calibration prompts" in promises[0][1]
    assert "probability 24/25 or more likewise; for certain where" in promises[3][1]
    assert figure_svg(of_toxicity.plot()).startswith("<svg")


def test_a_plant_that_is_not_the_models_is_warned_of(tiny: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert float(bounded(tiny).band("conformal").radius[-1]) < 1
    with pytest.warns(UserWarning, match="the linear plant does not describe this model there"):
        found = bounded(tiny, plant=LTVSystem(4 * tiny.plant.A))
    assert float(found.band("conformal").radius[-1]) > 1


def test_coverage_on_the_prompts_that_made_it_is_refused(tiny: Any) -> None:
    found = bounded(tiny)
    with pytest.raises(InputError, match="1 of 3 prompts are among those that this bound was made"):
        found.coverage(tiny.model, tiny.tokenizer, tiny.prompts[5:8])


def test_too_few_prompts_for_the_level_are_refused_before_anything_runs(tiny: Any) -> None:
    with pytest.raises(InputError, match="level 0.95 needs at least 19 calibration prompts; 6"):
        bounded(tiny, level=0.95)


def test_a_safety_below_one_is_refused(tiny: Any) -> None:
    with pytest.raises(InputError, match="safety is 0.5; it must be at least 1"):
        bounded(tiny, safety=0.5)


def test_another_model_is_refused(tiny: Any, embedded: Any) -> None:
    found = bounded(tiny)
    with pytest.raises(MismatchError, match="does not fit this one"):
        found.coverage(embedded.model, embedded.tokenizer, embedded.prompts[:2])
    with pytest.raises(MismatchError, match="does not fit this one"):
        sm.bound(tiny.a, embedded.model, embedded.tokenizer, embedded.prompts, plant=tiny.plant)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_push_behind_all_blocks_has_nothing_to_bound(tiny: Any) -> None:
    pairs = sm.ContrastivePairs(desired=tiny.prompts[:6], undesired=tiny.prompts[12:18])
    last = sm.ActivationAddition(block=2)
    steering = sm.fit(tiny.model, tiny.tokenizer, pairs, method=last, progress=False)
    with pytest.raises(InputError, match="its prediction is exact: there is nothing to bound"):
        sm.bound(
            steering, tiny.model, tiny.tokenizer, tiny.prompts, plant=tiny.plant, progress=False
        )


def test_a_band_of_another_name_is_unknown(tiny: Any) -> None:
    with pytest.raises(UnknownNameError, match="choose one of conformal, conformal, all"):
        bounded(tiny).band("median")


def test_nothing_is_left_on_the_model(tiny: Any) -> None:
    bounded(tiny, new_tokens=2)
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in tiny.model.modules())
