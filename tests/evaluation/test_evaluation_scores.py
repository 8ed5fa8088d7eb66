"""Means and standard errors, and what is counted of texts, against hand-computed cases."""

import math

import pytest

from steersman.evaluation.scores import Value, mean_of, over_seeds
from steersman.evaluation.texts import pooled_distinct, repetition


def values(*numbers: float, seed: int = 0, prompts: str | None = None) -> list[Value]:
    names = prompts or "".join(chr(97 + i) for i in range(len(numbers)))
    return [Value(v, seed, f"{name}") for v, name in zip(numbers, names, strict=True)]


def test_prompts_that_occur_once_have_the_usual_standard_error() -> None:
    found = mean_of(values(1.0, 2.0, 3.0, 6.0), 1)
    assert found.mean == 3.0
    assert found.se == pytest.approx(math.sqrt((4 + 1 + 0 + 9) / 3 / 4))
    assert math.isnan(found.se_seeds)
    assert found.by_seed == (3.0,)


def test_a_prompt_under_two_seeds_is_one_cluster() -> None:
    once = mean_of(values(0.0, 1.0, 1.0, 0.0), 1)
    twice = values(0.0, 1.0, 1.0, 0.0) + values(0.0, 1.0, 1.0, 0.0, seed=1)
    found = mean_of(twice, 2)
    assert found.count == 8
    assert found.se == pytest.approx(once.se)
    assert found.se_seeds == 0.0


def test_seeds_that_differ_have_a_standard_error_of_their_own() -> None:
    found = mean_of(values(0.0, 1.0) + values(1.0, 1.0, seed=1, prompts="cd"), 2)
    assert found.by_seed == (0.5, 1.0)
    assert found.se_seeds == pytest.approx(0.25)


def test_nothing_is_not_known() -> None:
    found = mean_of([], 2, missing=3)
    assert math.isnan(found.mean) and found.count == 0 and found.missing == 3
    assert math.isnan(mean_of(values(1.0), 1).se)
    assert "3 missing" in str(found)


def test_a_number_of_each_seed_has_no_error_over_prompts() -> None:
    found = over_seeds([0.5, float("nan"), 0.7])
    assert found.mean == pytest.approx(0.6)
    assert math.isnan(found.se) and found.missing == 1


def test_distinct_counts_n_grams_that_do_not_cross_texts() -> None:
    assert pooled_distinct(["The cat the cat"], 1) == 2 / 4
    assert pooled_distinct(["a b a b"], 2) == 2 / 3
    assert pooled_distinct(["a b", "a b"], 2) == 1 / 2
    assert math.isnan(pooled_distinct(["a", ""], 2))


def test_repetition_is_the_share_seen_before_in_the_text() -> None:
    assert repetition("a b c d e") == 0.0
    assert repetition("a b a b a b", 2) == pytest.approx(3 / 5)
    assert math.isnan(repetition("a b"))
