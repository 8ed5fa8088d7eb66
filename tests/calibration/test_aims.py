"""What aims take, what side effects are, and what is said of a curve."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steersman.calibration import (
    KL,
    Budget,
    Effort,
    Estimate,
    Perplexity,
    Point,
    Score,
    Written,
    divergence,
    perplexity_ratio,
    relative_effort,
)
from steersman.calibration.interval import interval
from steersman.calibration.notes import turning
from steersman.errors import InputError

NAN = math.nan


def written(
    loss: list[float] | None = None, inputs: list[list[float]] | None = None, lengths: float = 2.0
) -> Written:
    count = len(loss or inputs or [])
    return Written(
        prompts=("a prompt",) * count,
        texts=("a text",) * count,
        loss=torch.tensor(loss or [0.0] * count),
        divergence=torch.tensor([0.01 * i for i in range(count)]),
        inputs=torch.tensor(inputs or [[0.0, 0.0]] * count),
        lengths=torch.full((2,), lengths),
    )


@pytest.mark.parametrize("kind", [KL, Perplexity, Effort])
@pytest.mark.parametrize("limit", [0.0, -0.1, math.inf, -math.inf, NAN])
def test_a_budget_that_cannot_be_kept_is_refused(kind: type[Budget], limit: float) -> None:
    with pytest.raises(InputError, match=kind.__name__):
        kind(limit)


def test_a_perplexity_budget_is_above_the_unsteered_one() -> None:
    with pytest.raises(InputError, match="above 1"):
        Perplexity(1.0)


@pytest.mark.parametrize("levels", [{}, {"at_least": 0.5, "at_most": 0.5}, {"at_least": NAN}])
def test_a_score_has_one_finite_level(levels: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Score(lambda prompts, texts: [], **levels)


def test_aims_are_values_that_say_what_they_ask_for() -> None:
    def polite(prompts: object, texts: object) -> list[float]:
        return []

    assert KL(0.05) == KL(0.05) != Effort(0.05)
    assert str(KL(0.05)) == "at most 0.05"
    assert (Score(polite, 0.8).name, str(Score(polite, 0.8))) == ("polite", "at least 0.8")
    assert str(Score(polite, at_most=0.1)) == "at most 0.1"


def test_the_divergence_is_a_mean_over_prompts() -> None:
    found = divergence(written([0.0, 0.0, 0.0]))
    assert found.value == pytest.approx(0.01)
    assert found.se == pytest.approx(0.01 / math.sqrt(3))


@given(st.lists(st.floats(0.1, 5.0), min_size=2, max_size=6), st.floats(-1.0, 1.0))
def test_the_same_rise_of_every_loss_is_a_ratio_without_error(
    losses: list[float], rise: float
) -> None:
    plain, seen = written(losses), written([loss + rise for loss in losses])
    found = perplexity_ratio(seen, plain)
    assert found.value == pytest.approx(math.exp(rise), rel=1e-5)
    assert found.se < 1e-5


def test_effort_counts_tokens_and_blocks_that_are_pushed_only() -> None:
    seen = written(inputs=[[0.0, 1.0], [0.0, 3.0], [NAN, NAN]], lengths=100.0)
    found = relative_effort(seen, written([0.0] * 3, lengths=2.0))
    assert found == Estimate(1.0, 0.5)
    idle = written(inputs=[[0.0, 0.0], [NAN, NAN]])
    assert relative_effort(idle, written([0.0] * 2)) == Estimate(0.0, 0.0)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=10, unique=True), st.floats(0.0, 0.1))
def test_a_curve_that_only_rises_does_not_turn(values: list[float], se: float) -> None:
    budget, score = KL(5.0), Score(lambda prompts, texts: [], 5.0)
    curve = [Point(float(s), value, se) for s, value in enumerate(sorted(values))]
    assert turning(budget, curve) is None
    assert turning(score, curve) is None


def test_a_curve_that_goes_back_further_than_chance_turns() -> None:
    curve = [Point(float(s), v, 0.01) for s, v in enumerate([0.0, 0.3, 0.2, 0.1, 0.4])]
    assert turning(KL(5.0), curve) == (curve[1], curve[3])
    assert turning(Score(lambda prompts, texts: [], 5.0), curve) == (curve[1], curve[3])
    unsure = [Point(point.strength, point.value, 0.2) for point in curve]
    assert turning(KL(5.0), unsure) is None


@given(st.floats(0.01, 0.3), st.sampled_from([1.0, -1.0]), st.floats(0.1, 5.0))
def test_a_strength_is_as_uncertain_as_its_value_over_the_slope(
    se: float, way: float, slope: float
) -> None:
    tried = [way * i / 16 for i in range(33)]
    rising = [Point(s, slope * abs(s), se) for s in tried]
    spread = min(se, 0.9 * slope)
    expected = [way * (1 - spread / slope), way * (1 + spread / slope)]
    assert interval(KL(slope), rising, spread) == pytest.approx(expected)
    score = Score(lambda prompts, texts: [], slope)
    assert interval(score, rising, spread) == pytest.approx(expected)


def test_an_interval_ends_where_nothing_was_tried_any_more() -> None:
    curve = [Point(0.0, 0.9, 0.3), Point(1.0, 1.1, 0.3)]
    assert interval(KL(1.0), curve, 0.3) == (0.0, 1.0)


def test_an_estimate_shows_no_error_of_rounding() -> None:
    assert str(Estimate(0.0496, 0.00094)) == "0.0496 +- 0.00094"
    assert str(Estimate(0.1, 3e-10)) == "0.1 +- 0"
