"""The harmonic score, the strength chosen elsewhere, effectiveness and entanglement, by hand."""

import numpy as np
import pytest

from steersman.errors import InputError
from steersman.evaluation.metrics import (
    effectiveness,
    entanglement,
    harmonic,
    held_out,
)


def test_one_mark_of_zero_is_a_score_of_zero():
    assert harmonic([2, 0, 1], [2, 2, 2], [2, 2, 1]).tolist() == pytest.approx(
        [2, 0, 3 / (1 + 0.5 + 1)]
    )


def test_a_judge_that_failed_is_a_score_that_is_missing():
    assert np.isnan(harmonic([float("nan")], [2.0], [2.0])[0])


def test_a_mark_beyond_the_scale_is_refused():
    with pytest.raises(InputError, match="a mark is 3"):
        harmonic([3], [1], [1])
    with pytest.raises(InputError, match="1, 1, 2 marks"):
        harmonic([1], [1], [1, 1])


def test_the_halves_share_no_instruction_and_miss_none():
    found = held_out({1.0: [0.5] * 9}, seed=4)
    assert sorted(found.chosen_on + found.reported_on) == list(range(9))
    assert (len(found.chosen_on), len(found.reported_on)) == (4, 5)


def test_a_strength_is_chosen_on_one_half_and_reported_on_the_other():
    halves = held_out({1.0: [0.0] * 8}, seed=1)
    weak, strong = np.full(8, 0.8), np.full(8, 0.2)
    strong[list(halves.chosen_on)] = 1.5
    found = held_out({2.0: strong, 1.0: weak}, seed=1)
    assert (found.factor, found.chosen) == (2.0, 1.5)
    assert found.reported.value == pytest.approx(0.2)
    assert (found.chosen_on, found.reported_on) == (halves.chosen_on, halves.reported_on)


def test_the_reporting_half_has_no_say_in_the_choice():
    rng = np.random.default_rng(0)
    scores = {factor: rng.random(20) for factor in (0.5, 1.0, 2.0)}
    before = held_out(scores, seed=2)
    for column in scores.values():
        column[list(before.reported_on)] = rng.random(10)
    assert held_out(scores, seed=2).factor == before.factor


def test_choosing_on_the_reported_half_would_gain_where_there_is_nothing_to_gain():
    rng = np.random.default_rng(3)
    reported, chosen = [], []
    for seed in range(100):
        found = held_out({f: rng.random(10) for f in (0.5, 1.0, 1.5, 2.0)}, seed=seed)
        reported.append(found.reported.value)
        chosen.append(found.chosen)
    assert np.mean(reported) == pytest.approx(0.5, abs=0.05)
    assert np.mean(chosen) > 0.58


def test_of_equal_strengths_the_smallest_wins():
    assert held_out({2.0: [1.0] * 4, 0.5: [1.0] * 4}).factor == 0.5


def test_a_strength_that_no_judge_scored_is_not_chosen():
    assert held_out({0.5: [float("nan")] * 4, 1.0: [0.0] * 4}).factor == 1.0
    with pytest.raises(InputError, match="no strength has a score"):
        held_out({0.5: [float("nan")] * 4})


def test_scores_of_different_instructions_are_refused():
    with pytest.raises(InputError, match=r"2 strengths with \[3, 4\] scores"):
        held_out({0.5: [1.0] * 3, 1.0: [1.0] * 4})
    with pytest.raises(InputError, match=r"0 strengths"):
        held_out({})


def test_effectiveness_is_the_share_of_the_room_that_was_used():
    before, after = {"a": 0.5, "b": 0.8}, {"a": 0.75, "b": 0.7}
    assert effectiveness(before, after) == pytest.approx((0.5 - 0.5) / 2)
    assert effectiveness({"a": 0.2}, {"a": 1.0}) == 1


def test_a_benchmark_without_room_is_named():
    with pytest.raises(InputError, match="'b' is 1 before steering"):
        effectiveness({"a": 0.5, "b": 1.0}, {"a": 0.5, "b": 0.9})


def test_entanglement_is_the_root_mean_square_change():
    before, after = {"a": 0.5, "b": 0.5, "c": 0.5}, {"a": 0.9, "b": 0.2, "c": 0.5}
    found = entanglement(before, after)
    assert found.overall == pytest.approx(np.sqrt((0.16 + 0.09) / 3))
    assert found.positive == pytest.approx(np.sqrt(0.16 / 3))
    assert found.negative == pytest.approx(np.sqrt(0.09 / 3))
    assert found.overall**2 == pytest.approx(found.positive**2 + found.negative**2)


def test_benchmarks_have_to_be_the_same_and_their_scores_shares():
    with pytest.raises(InputError, match="'a', 'b' on one side only"):
        entanglement({"a": 0.5}, {"b": 0.5})
    with pytest.raises(InputError, match="no benchmark"):
        entanglement({}, {})
    with pytest.raises(InputError, match="'a' is nan after"):
        entanglement({"a": 0.5}, {"a": float("nan")})
