"""A design as feedback, feed-forward, a plan and the one law."""

import math

import pytest
import torch
from feature_problems import near, problem, recipes
from hypothesis import given, settings
from toy_plants import randn

from steersman.control import (
    AffineLaw,
    Effort,
    LTVSystem,
    Relative,
    Units,
    feature_lqr,
    plan,
    roll_out,
    simulate,
)
from steersman.errors import InputError, NumericalError, ShapeError

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)


def design_of(some, rank=None):
    return feature_lqr(some.system.vjp, some.cost, some.effort, rank)


@SETTINGS
@given(recipes())
def test_the_schedule_is_the_closed_loop_and_its_cost_the_predicted_one(recipe):
    some = recipe.problem()
    design = design_of(some)
    for delta0 in (None, some.delta0):
        schedule = design.schedule(some.demands, delta0)
        act = design.feedback(some.demands)
        run = roll_out(some.system.jvp, some.cost, some.effort, some.demands, act, delta0)
        assert near(schedule.u, run.u)
        assert near(schedule.errors, run.errors)
        assert near(schedule.effort, run.effort)
        assert near(schedule.cost, design.cost_to_go(some.demands, delta0))


@SETTINGS
@given(recipes())
def test_the_law_of_uniform_width_has_the_same_closed_loop_and_plan(recipe):
    some = recipe.problem()
    design = design_of(some)
    law, shifts = design.law(), design.shifts(some.demands)
    expected = design.schedule(some.demands, some.delta0).u
    assert near(simulate(some.system, law, shifts, some.delta0).inputs, expected)
    planned = plan(some.system, law, shifts)
    assert near(planned, design.schedule(some.demands).u)


def test_absolute_references_hold_the_features_of_an_affine_plant():
    some, drift = problem(4, k=2), randn(70, 5, 6)
    design, beta, x = design_of(some), randn(71, 6, 2), randn(72, 6)
    nominal = [x]
    for t in range(5):
        nominal.append(some.system.jvp(t, nominal[-1]) + drift[t])
    nominal = torch.stack(nominal)
    demands = some.cost.demands(beta, nominal)
    references, law = design.references(demands, nominal), design.law()
    schedule = design.schedule(demands)
    for t in range(5):
        _, u = law.step(None, x.unsqueeze(0), references[t : t + 1], t)
        assert near(u[0], schedule.u[t])
        x = some.system.jvp(t, x) + drift[t] + u[0]
        left = some.cost.weights[t + 1].sqrt() * (beta[t + 1] - some.cost.V[t + 1].mT @ x)
        assert near(left, schedule.errors[t + 1])


def test_a_relative_reference_in_natural_units_is_the_scaled_feedforward():
    some = problem(5, k=2)
    design, xbar = design_of(some), randn(70, 6, 6)
    shifts = design.shifts(some.demands)
    units, law = Units(shifts, torch.zeros_like(shifts)), design.law()
    for t in range(5):
        nominal = law.observe(xbar[t : t + 1], t)
        found = Relative(0.4).at(t, units, 1, nominal)[0]
        assert near(found, design.references(0.4 * some.demands, xbar)[t])


@SETTINGS
@given(recipes())
def test_feedforward_is_linear_and_takes_many_demands_at_once(recipe):
    some = recipe.problem()
    design, other = design_of(some), randn(3, *some.demands.shape)
    both = design.feedforward(torch.stack([some.demands, other], dim=2))
    first, second = design.feedforward(some.demands), design.feedforward(other)
    mixed = design.feedforward(2 * some.demands - 3 * other)
    for t in range(some.system.blocks):
        assert near(both[t], torch.stack([first[t], second[t]], dim=1))
        assert torch.allclose(mixed[t], 2 * first[t] - 3 * second[t])


def test_the_demand_at_the_first_state_is_never_used():
    some = problem()
    other = some.demands.clone()
    other[0] = math.nan
    assert torch.equal(design_of(some).schedule(other).u, design_of(some).schedule(some.demands).u)


def test_no_demand_needs_no_input():
    some = problem(k=2)
    schedule = design_of(some).schedule(torch.zeros_like(some.demands))
    assert not schedule.u.any()
    assert schedule.cost == 0.0


def test_dear_effort_does_nothing_and_cheap_effort_meets_every_demand():
    some = problem(3, n=12, k=2)
    cheap = design_of(some._replace(effort=Effort(1e-9))).schedule(some.demands)
    dear = design_of(some._replace(effort=Effort(1e9))).schedule(some.demands)
    assert float(cheap.errors.abs().max()) < 1e-6
    assert float(dear.u.abs().max()) < 1e-6


def test_the_law_is_active_only_where_it_may_act():
    some = problem(r=torch.tensor([1.0, torch.inf, 1.0, torch.inf, 1.0]))
    assert design_of(some).law().active == (0, 2, 4)
    law = design_of(problem()).law()
    assert isinstance(law, AffineLaw)
    assert law.active is None
    assert law.H.shape == (5, 6, 5)


def test_everything_stays_in_the_precision_of_the_features():
    some = problem()
    cost = type(some.cost)(some.cost.V.float(), 1.0, 3.0)
    system = LTVSystem(some.system.A.float())
    design = feature_lqr(system.vjp, cost, Effort(1.0, tuple(randn(0, 5, 6, 2))))
    schedule = design.schedule(some.demands, some.delta0)
    assert design.law().dtype == design.shifts(some.demands).dtype == torch.float32
    assert schedule.u.dtype == schedule.errors.dtype == torch.float32


def test_a_truncated_design_has_no_schedule_without_the_plant():
    some = problem(n=12, k=2)
    design = design_of(some, rank=2)
    assert max(design.discarded) > 0
    with pytest.raises(InputError, match="Truncation left .* out of this design.*use roll_out"):
        design.schedule(some.demands)


@pytest.mark.usefixtures("unchecked")
def test_demands_and_states_of_another_plant_are_refused():
    design = design_of(problem(k=2))
    for demands in (randn(0, 5, 2), randn(0, 6, 3), randn(0, 6), randn(0, 6, 2, 2, 2)):
        with pytest.raises(ShapeError, match=r"demands has shape .*\(states=6, k=2\), one row for"):
            design.feedforward(demands)
    with pytest.raises(ShapeError, match=r"delta0 has shape \(5,\); expected \(n=6\)"):
        design.cost_to_go(randn(0, 6, 2), randn(0, 5))
    with pytest.raises(ShapeError, match=r"nominal has shape \(5, 6\); expected \(states=6, n=6\)"):
        design.references(randn(0, 6, 2), randn(0, 5, 6))


def test_values_that_are_not_finite_are_refused():
    design, bad = design_of(problem()), torch.full((6, 1), math.nan).double()
    with pytest.raises(NumericalError, match="demands has 5 NaN"):
        design.schedule(bad)
    with pytest.raises(NumericalError, match="delta0 has 6 NaN"):
        design.cost_to_go(randn(0, 6, 1), bad.flatten())
    with pytest.raises(NumericalError, match="nominal has 36 NaN"):
        design.references(randn(0, 6, 1), bad.expand(6, 6))
