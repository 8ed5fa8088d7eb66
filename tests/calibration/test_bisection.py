"""Bisection over the strength, of functions whose answer is known."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.calibration.bisection import FEWEST, RUNGS, Bracket, largest, smallest
from steersman.errors import InputError, NumericalError

Gap = Callable[[float], float]
Search = Callable[..., Bracket]

PLENTY = 200
maxima = st.floats(1e-3, 1e3).flatmap(lambda m: st.sampled_from([m, -m]))
tolerances = st.floats(1e-4, 0.5)
powers = st.floats(0.2, 5.0)
shares = st.floats(1e-3, 0.999)


class Counted:
    """A gap that remembers what it was asked for."""

    def __init__(self, gap: Gap) -> None:
        self.gap = gap
        self.asked: dict[float, float] = {}
        self.times = 0

    def __call__(self, strength: float) -> float:
        self.times += 1
        self.asked[strength] = self.gap(strength)
        return self.asked[strength]


def rising(edge: float, power: float) -> Gap:
    """Below zero before the edge, above it beyond, on either side of 0."""
    return lambda s: abs(s) ** power - abs(edge) ** power


@given(maxima, shares, powers, tolerances)
def test_a_rising_gap_is_bracketed_to_the_tolerance(
    maximum: float, share: float, power: float, tolerance: float
) -> None:
    edge = share * maximum
    gap = Counted(rising(edge, power))
    found = largest(gap, maximum, tolerance=tolerance, evaluations=PLENTY)
    assert found.holds is not None and found.fails is not None
    assert gap.asked[found.holds] <= 0 < gap.asked[found.fails]
    assert abs(found.fails - found.holds) <= tolerance * abs(found.fails)
    assert min(found.holds, found.fails) <= edge <= max(found.holds, found.fails) or math.isclose(
        edge, found.holds, rel_tol=1e-9
    )


@given(maxima, shares, powers, tolerances)
def test_a_falling_gap_mirrors_a_rising_one(
    maximum: float, share: float, power: float, tolerance: float
) -> None:
    up = rising(share * maximum, power)
    far = smallest(lambda s: -up(s), maximum, tolerance=tolerance, evaluations=PLENTY)
    near = largest(
        lambda s: up(s) + (0.0 if up(s) else 1.0), maximum, tolerance=tolerance, evaluations=PLENTY
    )
    assert (far.fails, far.holds) == (near.holds, near.fails)


@given(maxima, st.floats(-5, 5), tolerances, st.integers(FEWEST, 30))
def test_a_flat_gap_is_closed_everywhere_or_nowhere(
    maximum: float, level: float, tolerance: float, evaluations: int
) -> None:
    options = {"tolerance": tolerance, "evaluations": evaluations}
    up = largest(lambda s: level, maximum, **options)
    down = smallest(lambda s: level, maximum, **options)
    if level <= 0:
        assert (up, down) == (Bracket(maximum, None), Bracket(0.0, None))
    else:
        assert (up, down) == (Bracket(None, 0.0), Bracket(None, maximum))


@given(maxima, shares, tolerances, st.booleans())
def test_a_jump_is_found_as_well_as_a_slope(
    maximum: float, share: float, tolerance: float, opens: bool
) -> None:
    edge = abs(share * maximum)

    def gap(strength: float) -> float:
        return 1.0 if (abs(strength) >= edge) is opens else -1.0

    search = largest if opens else smallest
    found = search(gap, maximum, tolerance=tolerance, evaluations=PLENTY)
    near, far = (found.holds, found.fails) if opens else (found.fails, found.holds)
    assert abs(near) < edge <= abs(far)
    assert abs(far - near) <= tolerance * abs(far)


@given(maxima, st.floats(1.01, 100.0), powers)
def test_a_budget_that_is_never_used_up_gives_the_maximum(
    maximum: float, beyond: float, power: float
) -> None:
    gap = rising(beyond * maximum, power)
    assert largest(gap, maximum, tolerance=0.1, evaluations=FEWEST) == Bracket(maximum, None)


@given(maxima, st.floats(1.01, 100.0), powers)
def test_a_score_that_is_not_reached_is_not_said_to_be(
    maximum: float, beyond: float, power: float
) -> None:
    gap = rising(beyond * maximum, power)
    counted = Counted(lambda s: -gap(s))
    found = smallest(counted, maximum, tolerance=0.1, evaluations=PLENTY)
    assert found == Bracket(None, maximum)
    assert counted.times <= RUNGS + 5  # from the half to the end, down to a tenth of it


@given(st.lists(st.floats(-1, 1), min_size=40, max_size=40), st.integers(FEWEST, 40), maxima)
def test_whatever_the_gap_the_answer_is_one_that_was_tried_and_all_before_it_agree(
    values: list[float], evaluations: int, maximum: float
) -> None:
    def gap(strength: float) -> float:
        return values[min(int(39 * abs(strength / maximum)), 39)]

    for search in (largest, smallest):
        counted = Counted(gap)
        found = search(counted, maximum, tolerance=0.01, evaluations=evaluations)
        assert counted.times == len(counted.asked) <= evaluations
        assert all(0 <= strength / maximum <= 1 for strength in counted.asked)
        if found.holds is not None:
            assert counted.asked[found.holds] <= 0
        if search is largest and found.holds is not None:
            before = [s for s in counted.asked if abs(s) <= abs(found.holds)]
            assert all(counted.asked[s] <= 0 for s in before)
        if search is smallest and found.holds is not None:
            before = [s for s in counted.asked if abs(s) < abs(found.holds)]
            assert all(counted.asked[s] > 0 for s in before)
        if found.holds is None:
            assert found.fails is not None


@given(st.floats(0.1, 0.99), st.floats(0.02, 0.2))
def test_a_score_that_is_reached_between_two_rungs_only_is_found(top: float, width: float) -> None:
    counted = Counted(lambda s: abs(math.log(max(s, 1e-9) / top)) - width)
    found = smallest(counted, 1.0, tolerance=0.02, evaluations=60)
    assert found.holds is not None
    low, high = top * math.exp(-width), top * math.exp(width)
    assert low <= found.holds <= high
    assert found.fails is not None and found.fails < low or found.holds - low <= 0.02


def test_a_score_that_collapses_before_the_first_rung_is_found_below_it() -> None:
    def gap(strength: float) -> float:
        return 0.5 if strength > 0.06 else 0.3 if strength < 0.01 else -0.1

    found = smallest(gap, 1.0, tolerance=0.1, evaluations=20)
    assert found.holds == pytest.approx(0.01, rel=0.1)
    assert found.fails is not None and found.fails < 0.01 <= found.holds


def test_evaluations_that_run_out_leave_a_sound_and_wider_bracket() -> None:
    counted = Counted(rising(0.9, 2.0))
    found = largest(counted, 1.0, tolerance=1e-6, evaluations=10)
    assert counted.times == 10
    assert found == Bracket(0.875, 0.90625)


def test_a_tiny_budget_is_met_by_a_tiny_strength() -> None:
    found = largest(rising(1e-3, 2.0), 8.0, tolerance=0.05, evaluations=PLENTY)
    assert found.holds == pytest.approx(1e-3, rel=0.05)


@pytest.mark.parametrize("search", [largest, smallest])
def test_nan_is_an_error_that_names_the_strength(search: Search) -> None:
    def gap(strength: float) -> float:
        if strength >= 1:
            return math.nan
        return -1.0 if search is largest else 1.0

    with pytest.raises(NumericalError, match="at strength 1 is NaN"):
        search(gap, 2.0, tolerance=0.1, evaluations=20)


@pytest.mark.parametrize(
    ("said", "changed"),
    [
        ("maximum", {"maximum": 0.0}),
        ("maximum", {"maximum": math.inf}),
        ("maximum", {"maximum": math.nan}),
        ("tolerance", {"tolerance": 0.0}),
        ("tolerance", {"tolerance": math.nan}),
        ("evaluations", {"evaluations": FEWEST - 1}),
    ],
)
@pytest.mark.parametrize("search", [largest, smallest])
def test_what_cannot_be_searched_is_refused(
    search: Search, said: str, changed: dict[str, float]
) -> None:
    settings = {"maximum": 1.0, "tolerance": 0.1, "evaluations": 10} | changed
    with pytest.raises(InputError, match=said):
        search(lambda s: s, **settings)
