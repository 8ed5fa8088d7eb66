"""The bound on simulated nonlinear systems of known curvature: always above, equal where it is."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_plants import plants, randn, random_law, random_plant, unit_rows

from steersman.control import LTVSystem, Lyapunov, Remainder, error_bound, simulate
from steersman.errors import InputError, ShapeError

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)


def bent(x, A, c, e):
    """`A x + (c/2) |x|^2 e`: of curvature `c` along the unit vector `e`."""
    return A @ x + c / 2 * x.dot(x) * e


def curvature_in(norms, c, e):
    """`L_t` in the norms of a loop: `|e|_{P'} |x|^2 <= |e|_{P'} |x|^2_P`, because `P >= I`."""
    ends = torch.cat([torch.zeros(1, e.shape[1]).double(), e])
    return c * norms.norms(ends)[1:]


def zeros(system):
    return torch.zeros(system.blocks).double()


@SETTINGS
@given(plants(), st.integers(0, 1000), st.floats(0.0, 0.5), st.floats(0.01, 1.0))
def test_a_bent_run_stays_within_the_bound_of_its_free_course(system, seed, c, start):
    e = unit_rows(seed, system.blocks, system.n)
    norms = Lyapunov.of(system)
    d0 = start * randn(seed + 1, system.n)
    d = [d0]
    for t in range(system.blocks):
        d.append(bent(d[-1], system.A[t], c, e[t]))
    d = norms.norms(torch.stack(d))
    remainder = Remainder(zeros(system), curvature_in(norms, c, e))
    none = torch.zeros(system.blocks + 1).double()
    rho = error_bound(norms.gains(system), remainder, none, float(d[0]))
    assert bool((d <= rho * (1 + 1e-9)).all())


@SETTINGS
@given(plants(), st.integers(0, 1000), st.floats(0.0, 0.3), st.floats(0.0, 0.3), st.floats(0.1, 2))
def test_steered_runs_of_a_bent_plant_that_is_not_the_designs_stay_within_the_bound(
    system, seed, c, wrong, target
):
    """Feedback with a relative reference, mismatch, curvature and a disturbance, all known."""
    blocks, n = system.blocks, system.n
    law, shifts = random_law(seed, system, 2), target * randn(seed + 2, blocks, 2)
    e, off = unit_rows(seed + 3, blocks, n), wrong * randn(seed + 4, blocks, n, n) / n
    noise, drift = 0.01 * randn(seed + 5, blocks, n), randn(seed + 6, blocks, n)
    x = nominal = randn(seed + 7, n)
    deltas = [x - nominal]
    for t in range(blocks):
        u = law.act(shifts[t, None] - law.observe((x - nominal)[None], t), t)[0]
        delta = x - nominal
        # The nominal obeys a map of its own; only how deviations grow is assumed.
        nominal = torch.tanh(nominal) + drift[t]
        moved = bent(delta, system.A[t] + off[t], c, e[t]) + noise[t] + u
        x = nominal + moved
        deltas.append(moved)
    predicted = simulate(system, law, shifts).states
    d = torch.stack(deltas) - predicted
    loop = system.closed_loop(law.H, law.G)
    norms = Lyapunov.of(loop)
    inverse = torch.linalg.inv(norms.factors.mT)
    mismatch = torch.stack(
        [
            torch.linalg.matrix_norm(norms.factors[t + 1].mT @ off[t] @ inverse[t], 2)
            for t in range(blocks)
        ]
    )
    padded = torch.cat([torch.zeros(1, n).double(), noise])
    remainder = Remainder(mismatch, curvature_in(norms, c, e), norms.norms(padded)[1:])
    rho = error_bound(norms.gains(loop), remainder, norms.norms(predicted))
    assert bool((norms.norms(d) <= rho * (1 + 1e-9) + 1e-12).all())
    v = unit_rows(seed + 8, blocks + 1, n)
    features = (v * d).sum(1).abs()
    assert bool((features <= norms.dual_norms(v) * rho * (1 + 1e-9) + 1e-12).all())


@SETTINGS
@given(
    st.lists(st.floats(0.1, 2.0), min_size=1, max_size=6),
    st.floats(0.01, 0.2),
    st.floats(0.01, 0.5),
)
def test_a_scalar_loop_of_one_sign_is_at_its_bound(slopes, c, start):
    system = LTVSystem(torch.tensor(slopes, dtype=torch.float64).reshape(-1, 1, 1))
    norms = Lyapunov.of(system)
    P = norms.factors.flatten().square()
    d = [start]
    for a in slopes:
        d.append(a * d[-1] + c / 2 * d[-1] ** 2)
    # |w|_{P'} = sqrt(P') (c/2) d^2 = (L/2) P d^2
    remainder = Remainder(zeros(system), c * P[1:].sqrt() / P[:-1])
    none = torch.zeros(len(slopes) + 1).double()
    rho = error_bound(norms.gains(system), remainder, none, start * math.sqrt(float(P[0])))
    torch.testing.assert_close(rho, norms.norms(torch.tensor(d, dtype=torch.float64).unsqueeze(1)))


def test_a_scalar_plan_on_a_bent_plant_is_at_its_bound():
    a, c, u = 0.9, 0.1, 1.0
    system = LTVSystem(torch.full((5, 1, 1), a, dtype=torch.float64))
    norms = Lyapunov.of(system)
    P = norms.factors.flatten().square()
    predicted, true = [0.0], [0.0]
    for _ in range(5):
        predicted.append(a * predicted[-1] + u)
        true.append(a * true[-1] + c / 2 * true[-1] ** 2 + u)
    remainder = Remainder(zeros(system), c * P[1:].sqrt() / P[:-1])
    column = torch.tensor(predicted, dtype=torch.float64).unsqueeze(1)
    rho = error_bound(norms.gains(system), remainder, norms.norms(column))
    error = torch.tensor(true, dtype=torch.float64) - column.squeeze(1)
    torch.testing.assert_close(rho, P.sqrt() * error)


def test_a_straight_plant_leaves_no_error():
    system = random_plant()
    norms = Lyapunov.of(system)
    rho = error_bound(norms.gains(system), Remainder(zeros(system), zeros(system)), randn(0, 6))
    assert torch.equal(rho, torch.zeros(6).double())


def test_the_free_course_is_bounded_by_its_transitions():
    system = random_plant()
    gains = Lyapunov.of(system).gains(system)
    rho = error_bound(gains, Remainder(zeros(system), zeros(system)), torch.zeros(6).double(), 2.0)
    torch.testing.assert_close(rho, 2.0 * gains[:, 0])


def test_a_larger_remainder_never_gives_a_smaller_bound():
    system = random_plant(3)
    norms = Lyapunov.of(system)
    gains, predicted = norms.gains(system), randn(1, 6).abs()
    small = Remainder(randn(2, 5).abs(), randn(3, 5).abs())
    large = Remainder(small.mismatch + 0.1, small.curvature, torch.ones(5).double())
    sector = Remainder(small.mismatch, small.curvature, None, small.mismatch + 0.01)
    plain = error_bound(gains, small, predicted)
    assert bool((error_bound(gains, large, predicted)[1:] > plain[1:]).all())
    assert bool((error_bound(gains, sector, predicted) <= plain).all())


def test_a_sector_holds_mismatch_and_curvature_where_one_makes_up_for_the_other():
    remainder = Remainder(
        torch.tensor([1.0]), torch.tensor([4.0]), torch.tensor([0.5]), torch.tensor([1.5])
    )
    sizes = torch.tensor([0.0, 0.1, 10.0])
    expected = torch.tensor([0.5, 0.5 + 0.1 + 2 * 0.01, 0.5 + 15.0])
    torch.testing.assert_close(remainder.at(0, sizes), expected)


def test_a_bound_that_runs_away_is_infinite_and_not_nan():
    system = random_plant(blocks=12, gain=2.0)
    remainder = Remainder(zeros(system), torch.full((12,), 1e300, dtype=torch.float64))
    rho = error_bound(Lyapunov.of(system).gains(system), remainder, torch.ones(13).double())
    assert not bool(rho.isnan().any())
    assert math.isinf(float(rho[-1]))


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ((torch.ones(3), torch.ones(2)), "curvature has shape .2,.; expected one number"),
        ((torch.ones(3), torch.ones(3), torch.ones(3), torch.ones(4)), "sector has shape"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_numbers_of_another_length_are_refused(parts, says):
    with pytest.raises(ShapeError, match=says):
        Remainder(*parts)


@pytest.mark.parametrize("value", [-0.1, math.nan])
def test_numbers_that_bound_nothing_are_refused(value):
    with pytest.raises(InputError, match="mismatch holds"):
        Remainder(torch.tensor([0.0, value]), torch.zeros(2))


@pytest.mark.usefixtures("unchecked")
def test_parts_of_another_plant_are_refused():
    remainder = Remainder(torch.zeros(4).double(), torch.zeros(4).double())
    with pytest.raises(ShapeError, match="gains has shape"):
        error_bound(torch.eye(6).double(), remainder, torch.zeros(5).double())
    with pytest.raises(ShapeError, match=r"predicted has shape \(6,\)"):
        error_bound(torch.eye(5).double(), remainder, torch.zeros(6).double())
