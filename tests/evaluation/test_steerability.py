"""Steering error, miscalibration and side effects of movements drawn by hand."""

import numpy as np
import pytest

from steersman.errors import InputError
from steersman.evaluation.metrics import aggregate, asked_obtained, steerability


def one(source, wanted, obtained):
    found = steerability(*(np.array([point]) for point in (source, wanted, obtained)))
    return found.error[0], found.miscalibration[0], found.side_effect[0]


def test_what_was_asked_and_nothing_else_is_no_error():
    assert one([0.2, 0.5], [0.7, 0.5], [0.7, 0.5]) == pytest.approx((0, 0, 0))


def test_half_of_what_was_asked_is_miscalibrated_without_side_effect():
    assert one([0.0, 0.5], [0.8, 0.5], [0.4, 0.5]) == pytest.approx((0.4, 0.5, 0))


def test_too_much_is_as_wrong_as_too_little():
    assert one([0.0, 0.5], [0.4, 0.5], [0.6, 0.5]) == pytest.approx((0.2, 0.5, 0))


def test_all_of_it_and_as_much_across():
    # e = (0, -0.3), across 0.3; moved (0.4, 0.3), length 0.5.
    assert one([0.0, 0.5], [0.4, 0.5], [0.4, 0.8]) == pytest.approx((0.3, 0, 0.6))


def test_a_text_that_stayed_misses_everything_and_disturbs_nothing():
    assert one([0.1, 0.1], [0.4, 0.5], [0.1, 0.1]) == pytest.approx((0.5, 1, 0))


def test_where_nothing_was_asked_every_movement_is_side_effect():
    error, miscalibration, side_effect = one([0.1, 0.1], [0.1, 0.1], [0.4, 0.5])
    assert (error, side_effect) == pytest.approx((0.5, 1))
    assert np.isnan(miscalibration)


def test_asked_along_a_diagonal():
    # m = (1, 1)/2, e = (0.5, 0): along half of m, across (0.25, -0.25); moved (0, 0.5).
    error, miscalibration, side_effect = one([0.0, 0.0], [0.5, 0.5], [0.0, 0.5])
    assert (error, miscalibration) == pytest.approx((0.5, 0.5))
    assert side_effect == pytest.approx(np.hypot(0.25, 0.25) / 0.5)


def test_the_summary_counts_what_is_undefined():
    source, wanted = np.zeros((3, 2)), np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    found = steerability(source, wanted, np.array([[0.0, 0.0], [0.5, 0.0], [1.0, 0.0]]))
    shown = found.summary()["miscalibration"]
    assert (shown.mean, shown.count, shown.missing) == (0.25, 2, 1)
    assert found.summary()["error"].median == 0


def test_points_that_are_not_there_are_refused(unchecked):
    good = np.zeros((2, 2))
    with pytest.raises(InputError, match="obtained is not finite in row 1"):
        steerability(good, good, np.array([[0.0, 0.0], [np.nan, 0.0]]))
    with pytest.raises(InputError, match=r"wanted has shape \(1, 2\) and source \(2, 2\)"):
        steerability(good, good[:1], good)


def test_asked_against_obtained_is_a_line():
    # obtained = 0.1 + 0.5 asked: gaps -0.025, -0.15, -0.4.
    found = asked_obtained([0.25, 0.5, 1.0], [0.225, 0.35, 0.6])
    assert (found.slope, found.intercept) == pytest.approx((0.5, 0.1))
    assert found.gap == pytest.approx(np.sqrt((0.025**2 + 0.15**2 + 0.4**2) / 3))
    perfect = asked_obtained([0.0, 1.0], [0.0, 1.0])
    assert (perfect.slope, perfect.intercept, perfect.gap) == pytest.approx((1, 0, 0))


def test_a_line_through_noise_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(30)
    y = 0.3 + 0.8 * x + rng.standard_normal(30)
    found = asked_obtained(x, y)
    assert [found.slope, found.intercept] == pytest.approx(list(np.polyfit(x, y, 1)))


def test_a_value_that_was_not_obtained_is_counted():
    found = asked_obtained([0.0, 0.5, 1.0], [0.0, float("nan"), 1.0])
    assert (found.slope, found.count, found.missing) == (1.0, 2, 1)


def test_one_target_has_no_slope():
    with pytest.raises(InputError, match="two different targets"):
        asked_obtained([1.0, 1.0], [0.9, 1.1])
    with pytest.raises(InputError, match="2 targets were asked and 1 values"):
        asked_obtained([0.0, 1.0], [0.9])


def test_an_aggregate_is_what_its_names_say():
    found = aggregate([1.0, 2.0, 3.0, 4.0, 10.0, float("nan")])
    assert (found.mean, found.median, found.q25, found.q75) == (4, 3, 2, 4)
    assert (found.minimum, found.maximum, found.range, found.iqr) == (1, 10, 9, 2)
    assert found.std == pytest.approx(np.sqrt(50 / 4))
    # Deviations -3 -2 -1 0 6: cubes sum to 180, squares to 50, fourth powers to 1394.
    assert found.skew == pytest.approx(180 / 5 / 10**1.5)
    assert found.kurtosis == pytest.approx(1394 / 5 / 100 - 3)
    assert (found.count, found.missing) == (5, 1)


def test_an_aggregate_of_too_little_is_nan():
    assert np.isnan(aggregate([]).mean)
    assert np.isnan(aggregate([2.0]).std) and np.isnan(aggregate([2.0, 2.0]).skew)


def test_a_ratio_of_aggregates_compares_with_the_unsteered_run():
    ratio = aggregate([2.0, 4.0]).over(aggregate([1.0, 1.0]))
    assert ratio["mean"] == 3
    assert np.isnan(ratio["std"])
