"""A bound without a distribution: the rank it takes, what it covers, what it refuses."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_plants import generator, randn

from steersman.control import conformal_bound, prompts_needed
from steersman.errors import InputError, NumericalError

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)


@SETTINGS
@given(st.integers(1, 60), st.floats(0.01, 0.99), st.integers(0, 1000))
def test_it_is_the_smallest_score_that_enough_of_them_do_not_exceed(count, level, seed):
    scores = randn(seed, count)
    if count < prompts_needed(level):
        with pytest.raises(InputError, match="needs at least"):
            conformal_bound(scores, level)
        return
    found = conformal_bound(scores, level)
    below = int((scores <= found).sum())
    assert below / (count + 1) >= level - 1e-9
    assert (below - 1) / (count + 1) < level


@pytest.mark.parametrize(("level", "needed"), [(0.5, 1), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_a_level_needs_so_many_prompts(level, needed):
    assert prompts_needed(level) == needed
    scores = torch.arange(needed).double()
    assert float(conformal_bound(scores, level)) == needed - 1
    if needed > 1:
        with pytest.raises(InputError, match=f"level {level:g} needs at least {needed} calib"):
            conformal_bound(scores[1:], level)


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_new_draws_are_covered_as_often_as_it_says(level):
    """Over 4000 calibrations of 19 scores from a heavy tail, each checked on one new draw."""
    draws = torch.randn(4000, 20, generator=generator(0)).double().tan().abs()
    bounds = conformal_bound(draws[:, :19].mT, level)
    covered = float((draws[:, 19] <= bounds).double().mean())
    rank = math.ceil(20 * level - 1e-9)
    expected = rank / 20  # exactly, where no two scores are equal
    assert abs(covered - expected) < 4 * math.sqrt(expected * (1 - expected) / 4000)


def test_scores_side_by_side_are_taken_each_by_itself():
    scores = randn(0, 30, 4, 2)
    found = conformal_bound(scores, 0.9)
    for i in range(4):
        for j in range(2):
            assert float(found[i, j]) == float(conformal_bound(scores[:, i, j], 0.9))


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 95.0, math.nan])
def test_a_level_that_is_no_probability_is_refused(level):
    with pytest.raises(InputError, match="must be between 0 and 1, such as 0.95"):
        conformal_bound(torch.ones(100), level)


def test_a_score_that_is_nan_is_refused():
    with pytest.raises(NumericalError, match="a score is NaN"):
        conformal_bound(torch.tensor([1.0, math.nan, 2.0]), 0.5)
