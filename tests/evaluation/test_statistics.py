"""Intervals hold the truth as often as they say, and prompts are drawn whole."""

import numpy as np
import pytest
from scipy import stats

from steersman.errors import InputError
from steersman.evaluation.metrics import correlation, estimate, estimate_of

SKEWED = [0.1, 0.2, 0.2, 0.4, 0.9, 1.3, 2.0, 3.5, 7.0]


def by_hand(values, interval, level=0.95, resamples=20_000):
    """An interval of the mean from the textbook's formulas, with draws of its own."""
    x, rng = np.array(values), np.random.default_rng(123)
    drawn = np.sort(x[rng.integers(0, len(x), (resamples, len(x)))].mean(1))
    a = np.array([(1 - level) / 2, (1 + level) / 2])
    if interval == "bca":
        below = (np.mean(drawn < x.mean()) + np.mean(drawn <= x.mean())) / 2
        z0, z = stats.norm.ppf(below), stats.norm.ppf(a)
        left_out = (x.sum() - x) / (len(x) - 1)
        away = left_out.mean() - left_out
        skew = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
        a = stats.norm.cdf(z0 + (z0 + z) / (1 - skew * (z0 + z)))
    return np.quantile(drawn, a)


@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_an_interval_is_that_of_the_textbook(interval):
    found = estimate(SKEWED, interval=interval)
    assert found.value == pytest.approx(np.mean(SKEWED))
    assert found.se == pytest.approx(np.std(SKEWED) / 3, rel=0.03)
    assert [found.low, found.high] == pytest.approx(by_hand(SKEWED, interval), rel=0.04)


def test_the_corrected_interval_leans_where_the_data_do():
    plain, corrected = (estimate(SKEWED, interval=kind) for kind in ("percentile", "bca"))
    assert corrected.low > plain.low
    assert corrected.high > plain.high + 0.2


def test_the_same_seed_gives_the_same_interval():
    assert estimate(SKEWED, seed=3) == estimate(SKEWED, seed=3)
    assert estimate(SKEWED, seed=3) != estimate(SKEWED, seed=4)


def test_several_seeds_of_a_prompt_are_not_several_prompts():
    alone = estimate(SKEWED)
    copied = np.repeat(SKEWED, 10)
    clustered = estimate(copied, np.repeat(np.arange(9), 10))
    assert (clustered.low, clustered.high) == pytest.approx((alone.low, alone.high), rel=2e-3)
    assert (clustered.count, alone.count) == (9, 9)
    careless = estimate(copied)
    assert careless.high - careless.low < 0.5 * (alone.high - alone.low)


def test_a_prompt_with_more_rows_counts_by_its_rows():
    assert estimate([1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"]).value == 0.75


def coverage(interval, seeds, correlated, trials=200, prompts=25):
    """How often the interval of exponential data holds their mean, prompts as they are or not."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(trials):
        own = rng.exponential(1.0, (prompts, 1))
        values = (own + 0.1 * rng.standard_normal((prompts, seeds))).ravel()
        labels = np.repeat(np.arange(prompts), seeds) if correlated else None
        found = estimate(values, labels, interval=interval, resamples=400)
        held += found.low <= 1.0 <= found.high
    return held / trials


@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_an_interval_holds_the_truth_about_as_often_as_it_says(interval):
    # The bootstrap of 25 skewed values is known to fall a little short of its level.
    assert 0.87 <= coverage(interval, seeds=4, correlated=True) <= 0.99


def test_an_interval_that_forgets_prompts_is_far_too_short():
    assert coverage("bca", seeds=4, correlated=False) < 0.75


def test_nan_is_counted_and_left_out():
    found = estimate([*SKEWED, float("nan"), float("nan")])
    assert found.missing == 2
    assert (found.value, found.count) == (pytest.approx(np.mean(SKEWED)), 9)
    assert "2 missing" in str(found)


def test_equal_values_have_no_width_and_one_prompt_has_no_interval():
    same = estimate([0.5, 0.5, 0.5])
    assert (same.low, same.high, same.se) == (0.5, 0.5, 0.0)
    alone = estimate([0.5, 0.7], ["a", "a"])
    assert alone.value == pytest.approx(0.6)
    assert np.isnan([alone.low, alone.high, alone.se]).all()
    assert np.isnan(estimate([float("nan")]).value)


def test_a_correlation_is_that_of_the_ranks():
    rng = np.random.default_rng(1)
    x = rng.standard_normal(60)
    y = np.exp(2 * x + rng.standard_normal(60))
    found = correlation(x, y, np.repeat(np.arange(20), 3))
    assert found.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert -1 <= found.low < found.value < found.high <= 1
    assert found.count == 20


def test_a_correlation_of_nothing_has_zero_in_its_interval():
    rng = np.random.default_rng(2)
    found = correlation(rng.standard_normal(80), rng.standard_normal(80))
    assert found.low < 0 < found.high


def test_a_constant_column_correlates_with_nothing():
    assert correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]).value == 0


def test_any_number_of_rows_has_an_interval():
    values = np.array(SKEWED)
    rows = [str(row) for row in range(9)]
    of_mean = estimate_of(lambda drawn: float(values[drawn].mean()), rows, resamples=4000)
    plain = estimate(SKEWED)
    assert of_mean.value == pytest.approx(plain.value)
    assert [of_mean.low, of_mean.high] == pytest.approx([plain.low, plain.high], rel=0.06)


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(InputError, match="2 rows and 3 prompts"):
        estimate([1.0, 2.0], ["a", "b", "c"])
    with pytest.raises(InputError, match="row 1 is infinite"):
        estimate([1.0, float("inf")])
    with pytest.raises(InputError, match="there are 1"):
        correlation([1.0, 2.0], [2.0, 1.0], ["a", "a"])


def test_an_unknown_interval_is_refused(unchecked):
    with pytest.raises(InputError, match="'normal'; choose bca or percentile"):
        estimate(SKEWED, interval="normal")
