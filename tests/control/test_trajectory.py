"""What a run costs, and how far from the optimum it can be at most."""

import pytest
import torch
from feature_problems import least_squares, near, problem, recipes
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from toy_plants import randn

from steersman.control import Effort, LTVSystem, duality_gap, feature_lqr, roll_out
from steersman.errors import ShapeError

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)


def design_of(some, rank=None):
    return feature_lqr(some.system.vjp, some.cost, some.effort, rank)


def closed_loop(some, design, delta0=None):
    act = design.feedback(some.demands)
    return roll_out(some.system.jvp, some.cost, some.effort, some.demands, act, delta0)


def gap(some, run):
    return duality_gap(some.system.vjp, some.cost, some.effort, run)


@SETTINGS
@given(recipes())
def test_the_gap_is_zero_at_the_optimum(recipe):
    some = recipe.problem()
    run = closed_loop(some, design_of(some), some.delta0)
    assert gap(some, run) <= 1e-16 * max(run.cost, 1.0)


@SETTINGS
@given(recipes(), st.integers(0, 1000))
def test_no_inputs_are_worse_by_more_than_the_gap_nor_better_than_the_optimum(recipe, seed):
    some = recipe.problem()
    best = closed_loop(some, design_of(some), some.delta0)
    w = [x + randn(seed + t, *x.shape) for t, x in enumerate(best.w)]
    # What must not be touched stays untouched.
    w = [some.effort.relax(t, some.effort.weigh(t, x)) for t, x in enumerate(w)]
    run = roll_out(
        some.system.jvp, some.cost, some.effort, some.demands, lambda t, x: w[t], some.delta0
    )
    assert -1e-10 * run.cost <= run.cost - best.cost <= gap(some, run) * (1 + 1e-10)


@SETTINGS
@given(recipes(), st.integers(1, 3))
def test_truncation_costs_no_more_than_the_gap_says(recipe, rank):
    some = recipe.problem()
    run = closed_loop(some, design_of(some, rank), some.delta0)
    optimum = least_squares(some)[1]
    assert -1e-9 * optimum <= run.cost - optimum <= gap(some, run) + 1e-9 * optimum


@SETTINGS
@given(recipes(), st.integers(1, 3))
def test_without_demands_what_truncation_discards_bounds_the_cost_to_go(recipe, rank):
    some = recipe.problem()._replace(demands=torch.zeros(recipe.blocks + 1, recipe.k).double())
    truncated = design_of(some, rank)
    run = closed_loop(some, truncated, some.delta0)
    understood = truncated.cost_to_go(some.demands, some.delta0)
    optimum = design_of(some).cost_to_go(some.demands, some.delta0)
    states = [some.delta0]
    for t in range(recipe.blocks):
        states.append(some.system.jvp(t, states[-1]) + run.u[t])
    missed = sum(
        float(x.square().sum()) * size**2
        for x, size in zip(states[1:], truncated.discarded, strict=True)
    )
    assert understood <= optimum * (1 + 1e-9)
    assert optimum <= run.cost * (1 + 1e-9)
    assert run.cost <= (understood + missed) * (1 + 1e-9)


@SETTINGS
@given(recipes())
def test_the_gap_exceeds_the_truth_by_no_more_than_it_says(recipe):
    some = recipe.problem()
    run = closed_loop(some, design_of(some, rank=1))
    truth = run.cost - design_of(some).cost_to_go(some.demands)
    assume(truth > 1e-6 * run.cost)
    columns = []
    for t in range(recipe.blocks):
        stop = some.effort.drive(t, some.effort.relax(t, torch.eye(len(run.w[t])).double()))
        features = []
        for s in range(recipe.blocks):
            stop = some.system.jvp(s, stop) if s > t else stop
            moved = some.cost.weights[s + 1].sqrt().unsqueeze(1) * (some.cost.V[s + 1].mT @ stop)
            features.append(moved if s >= t else torch.zeros_like(moved))
        columns.append(torch.cat(features))
    sigma = float(torch.linalg.matrix_norm(torch.cat(columns, dim=1), 2))
    assert gap(some, run) <= (1 + sigma**2) * truth * (1 + 1e-6)


def test_a_few_columns_are_nearly_optimal_for_features_that_turn_slowly():
    some = problem(3, blocks=16, n=40, gain=0.1, q=0.1, qf=1.0, common=0.98)
    some = some._replace(demands=torch.linspace(1, 3, 17).double().unsqueeze(1))
    optimum = design_of(some).cost_to_go(some.demands)
    run = closed_loop(some, design_of(some, rank=4))
    assert 0 < run.cost - optimum < 0.01 * optimum
    assert run.cost - optimum < gap(some, run) < 2 * (run.cost - optimum)


def test_the_gap_asks_for_one_column_at_every_block_but_the_first():
    some, asked = problem(k=2), []

    def pull(t, W):
        asked.append((t, W.shape))
        return some.system.vjp(t, W)

    duality_gap(pull, some.cost, some.effort, closed_loop(some, design_of(some)))
    assert asked == [(t, (6, 1)) for t in (4, 3, 2, 1)]


def test_a_design_for_one_plant_is_judged_on_another():
    some, other = problem(3), problem(4)
    design = design_of(some)
    elsewhere = some._replace(system=LTVSystem((some.system.A + 0.1 * other.system.A) / 1.1))
    run = closed_loop(elsewhere, design)
    optimum = design_of(elsewhere).cost_to_go(some.demands)
    assert optimum < run.cost < optimum + gap(elsewhere, run)


def test_effort_and_errors_are_what_the_cost_says():
    r, B = torch.tensor([2.0, 0.5]).double(), (randn(1, 6, 2), randn(2, 6, 1))
    some = problem(blocks=2, q=0.3, qf=2.0, r=r, B=B)
    w = (randn(3, 2), randn(4, 1))
    run = roll_out(some.system.jvp, some.cost, some.effort, some.demands, lambda t, x: w[t])
    x1 = B[0] @ w[0]
    x2 = some.system.jvp(1, x1) + B[1] @ w[1]
    errors = [some.demands[t] - some.cost.V[t].mT @ x for t, x in ((1, x1), (2, x2))]
    expected = 0.3 * errors[0] ** 2 + 2.0 * errors[1] ** 2 + 2.0 * w[0] @ w[0] + 0.5 * w[1] @ w[1]
    assert near(run.cost, float(expected))
    assert near(run.u, torch.stack([x1, B[1] @ w[1]]))


@pytest.mark.usefixtures("unchecked")
def test_parts_of_another_plant_are_refused():
    some = problem()
    run = closed_loop(some, design_of(some))
    with pytest.raises(ShapeError, match="errors has shape .5, 1.; expected .states=6, k=1."):
        gap(some, run._replace(errors=run.errors[1:]))
    with pytest.raises(ShapeError, match="r has 4 entries for 5 blocks"):
        gap(some._replace(effort=Effort(torch.ones(4))), run)
    with pytest.raises(ShapeError, match=r"demands has shape \(5, 1\)"):
        roll_out(some.system.jvp, some.cost, some.effort, some.demands[1:], lambda t, x: x)
    with pytest.raises(ShapeError, match=r"delta0 has shape \(5,\)"):
        roll_out(some.system.jvp, some.cost, some.effort, some.demands, lambda t, x: x, randn(0, 5))
