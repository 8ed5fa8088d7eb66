"""Paired tests agree with counting by hand, and are wrong as seldom as they promise."""

from itertools import product
from math import comb

import numpy as np
import pytest

from steersman.errors import InputError
from steersman.evaluation.metrics import (
    compare_all,
    estimate,
    holm,
    mcnemar,
    paired_bootstrap,
    sign_flip,
)

FIRST = [0.9, 0.7, 0.8, 0.6, 0.9, 0.4, 0.7]
SECOND = [0.5, 0.6, 0.2, 0.7, 0.4, 0.1, 0.6]


def test_sign_flips_of_few_prompts_are_counted_exactly():
    d = np.subtract(FIRST, SECOND)
    flipped = [abs(np.dot(signs, d)) for signs in product((-1, 1), repeat=len(d))]
    share = np.mean(np.array(flipped) >= abs(d.sum()) - 1e-12)
    found = sign_flip(FIRST, SECOND)
    assert found.p == pytest.approx(share)
    assert found.effect == estimate(d)


def test_all_prompts_on_one_side_give_the_smallest_p_there_is():
    assert sign_flip([1.0] * 6, [0.0] * 6).p == pytest.approx(2 / 2**6)
    assert sign_flip([0.3] * 6, [0.3] * 6).p == 1


def test_all_rows_of_a_prompt_flip_together():
    prompts = np.repeat(np.arange(7), 5)
    many = sign_flip(np.repeat(FIRST, 5), np.repeat(SECOND, 5), prompts)
    assert many.p == pytest.approx(sign_flip(FIRST, SECOND).p)


@pytest.mark.parametrize("test", [sign_flip, paired_bootstrap])
def test_a_test_errs_as_seldom_as_it_promises(test):
    rng = np.random.default_rng(0)
    p = [test(rng.exponential(1, 30), rng.exponential(1, 30), resamples=300).p for _ in range(200)]
    assert 0.01 <= np.mean(np.array(p) <= 0.05) <= 0.1


@pytest.mark.parametrize("test", [sign_flip, paired_bootstrap])
def test_a_test_finds_a_difference_that_is_there(test):
    rng = np.random.default_rng(1)
    prompts = rng.standard_normal(40)
    better = prompts + 0.5 + 0.3 * rng.standard_normal(40)
    found = test(better, prompts)
    assert found.p < 0.001
    assert 0.3 < found.effect.low < 0.5 < found.effect.high < 0.7


def test_mcnemar_looks_only_at_prompts_on_which_the_methods_differ():
    first, second = [1] * 9 + [0] * 2 + [1] * 20, [0] * 9 + [1] * 2 + [1] * 20
    tail = sum(comb(11, k) for k in range(3)) / 2**11
    found = mcnemar(first, second)
    assert found.p == pytest.approx(2 * tail)
    assert found.effect.value == pytest.approx(7 / 31)
    assert mcnemar(first[-20:], second[-20:]).p == 1


def test_mcnemar_is_the_sign_flip_test_of_binary_scores():
    first, second = [1.0] * 6 + [0.0] * 4, [0.0] * 5 + [1.0] * 5
    assert mcnemar(first, second).p == pytest.approx(sign_flip(first, second).p)


def test_mcnemar_refuses_what_is_no_yes_or_no():
    with pytest.raises(InputError, match=r"a score is 0\.5"):
        mcnemar([1.0, 0.5], [0.0, 1.0])


def test_a_row_that_one_method_lacks_is_counted():
    found = sign_flip([*FIRST, float("nan"), 0.4], [*SECOND, 0.2, float("nan")])
    assert found.effect.missing == 2
    assert found.p == pytest.approx(sign_flip(FIRST, SECOND).p)


def test_nothing_to_compare_is_nan_and_no_error():
    assert np.isnan(sign_flip([float("nan")], [1.0]).p)
    assert np.isnan(paired_bootstrap([2.0], [1.0]).p)


def test_holm_multiplies_the_smallest_by_their_rank_and_keeps_the_order():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_refuses_what_is_no_p_value():
    with pytest.raises(InputError, match="nan is no p-value"):
        holm([0.1, float("nan")])


def test_every_method_is_compared_with_one_and_corrected():
    scores = {"bare": SECOND, "good": FIRST, "same": SECOND[::-1]}
    found = compare_all(scores, "bare")
    alone = [sign_flip(scores[name], SECOND).p for name in ("good", "same")]
    assert list(found) == ["good", "same"]
    assert [one.p for one in found.values()] == pytest.approx(holm(alone))
    with pytest.raises(InputError, match="there is no 'base' among 'bare', 'good', 'same'"):
        compare_all(scores, "base")


def test_methods_with_different_rows_are_refused():
    with pytest.raises(InputError, match="2, 1 rows"):
        sign_flip([1.0, 2.0], [1.0])
