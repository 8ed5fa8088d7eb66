"""The low-rank recursion, against the dense one and against least squares of the whole horizon."""

import pytest
import torch
from feature_problems import least_squares, near, problem, recipes, riccati, unit_columns
from hypothesis import given, settings
from toy_plants import randn, random_plant

from steersman.control import Effort, FeatureCost, LTVSystem, feature_lqr, roll_out
from steersman.errors import InputError, ShapeError

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)


def design_of(some, rank=None):
    return feature_lqr(some.system.vjp, some.cost, some.effort, rank)


def require_dense_solution(some, rtol=1e-10):
    design = design_of(some)
    gains, forward, (P, p, c) = riccati(some)
    b = design.feedforward(some.demands)
    for t, stage in enumerate(design.stages):
        assert near(stage.G @ stage.H.mT, gains[t], rtol)
        assert near(stage.G @ b[t], forward[t], rtol)
        assert near(stage.G, some.effort.drive(t, stage.D @ stage.L.mT))
    x = some.delta0.numpy()
    # The dense form is a difference, and right only to the rounding of its terms.
    scale = x @ P @ x + 2 * abs(p @ x) + float((some.cost.weights * some.demands**2).sum())
    for delta0, expected in ((some.delta0, x @ P @ x - 2 * p @ x + c), (None, c)):
        assert abs(design.cost_to_go(some.demands, delta0) - expected) <= rtol * scale
    first = design.stages[0]
    assert near(first.H @ first.L @ first.L.mT @ first.H.mT, P, rtol)


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("r", [0.1, 1.0, 100.0])
def test_it_is_the_dense_riccati_recursion(k, r):
    require_dense_solution(problem(3, blocks=8, n=12, k=k, r=r))


@SETTINGS
@given(recipes())
def test_it_is_the_dense_riccati_recursion_for_problems_of_every_kind(recipe):
    require_dense_solution(recipe.problem())


@SETTINGS
@given(recipes())
def test_its_closed_loop_is_the_least_squares_optimum_of_the_whole_horizon(recipe):
    some = recipe.problem()
    run = roll_out(
        some.system.jvp,
        some.cost,
        some.effort,
        some.demands,
        design_of(some).feedback(some.demands),
        some.delta0,
    )
    inputs, cost = least_squares(some)
    assert near(run.u, inputs)
    assert near(run.cost, cost)


def test_actuators_weights_of_each_and_untouched_blocks_together_are_optimal():
    B = tuple(randn(60 + t, 8, 1 + t % 3) for t in range(6))
    r = (
        torch.tensor([2.0]),
        torch.inf,
        torch.tensor([0.3, 1.0, torch.inf]).double(),
        1.0,
        0.5,
        2.0,
    )
    q = torch.tensor([1.0, 0.2]).double()
    some = problem(9, blocks=6, n=8, k=2, q=q, qf=q.flip(0), r=r, B=B)
    require_dense_solution(some)
    design = design_of(some)
    inputs, cost = least_squares(some._replace(delta0=torch.zeros(8).double()))
    schedule = design.schedule(some.demands)
    assert near(schedule.u, inputs)
    assert near(schedule.cost, cost)
    assert not design.stages[1].G.any()
    assert float(schedule.w[2][2]) == 0.0


def test_only_ratios_of_weights_matter():
    r = torch.tensor([1.0, torch.inf, 0.3, 2.0, 1.0]).double()
    some = problem(k=2, q=0.3, qf=2.0, r=r)
    scaled = some._replace(cost=FeatureCost(some.cost.V, 7 * 0.3, 7 * 2.0), effort=Effort(7 * r))
    found, expected = (design_of(p).schedule(some.demands) for p in (scaled, some))
    assert near(found.u, expected.u)
    assert near(found.cost, 7 * expected.cost)


def test_an_unweighted_feature_takes_no_column():
    q = torch.tensor([[1.0, 0.0], [0.0, 0.0], [2.0, 1.0]]).double()
    some = problem(blocks=3, n=12, k=2, q=q, qf=torch.tensor([0.0, 1.0]).double())
    assert [stage.W.shape[1] for stage in design_of(some).stages] == [3, 3, 1]


def test_a_last_state_without_weight_is_solved_too():
    require_dense_solution(problem(q=1.0, qf=0.0))


def test_more_columns_than_the_state_is_wide_are_compressed_without_loss():
    some = problem(2, blocks=9, n=4, k=2)
    design = design_of(some)
    assert max(stage.W.shape[1] for stage in design.stages) == 4
    assert not any(design.discarded)
    require_dense_solution(some)


def test_parallel_features_of_a_plain_residual_stream_need_rank_one_only():
    V = unit_columns(1, 1, 10, 1).expand(7, 10, 1)
    system = LTVSystem(torch.eye(10).double().expand(6, 10, 10))
    cost, demands = FeatureCost(V, 1.0, 1.0), randn(2, 7, 1)
    full = feature_lqr(system.vjp, cost, Effort(1.0))
    capped = feature_lqr(system.vjp, cost, Effort(1.0), rank=1)
    assert not any(capped.discarded)
    assert near(capped.schedule(demands).u, full.schedule(demands).u)
    assert near(capped.cost_to_go(demands), full.cost_to_go(demands))


def test_float32_survives_a_channel_of_huge_gain():
    A = random_plant(3, blocks=8, n=64, gain=0.05).A.clone()
    A[:, :, 3] *= 3000.0
    single = LTVSystem(A.float())
    cost = FeatureCost(unit_columns(9, 9, 64, 1, common=0.99).float(), 1.0, 1.0)
    exact = FeatureCost(cost.V.double(), 1.0, 1.0)
    demands = torch.linspace(1, 3, 9).unsqueeze(1)
    found = feature_lqr(single.vjp, cost, Effort(1.0)).schedule(demands)
    expected = feature_lqr(single.to(torch.float64).vjp, exact, Effort(1.0)).schedule(
        demands.double()
    )
    assert found.u.dtype == torch.float32
    assert near(found.u.double(), expected.u, rtol=3e-4)


@pytest.mark.parametrize("rank", [0, -3])
def test_a_rank_below_one_is_refused(rank):
    with pytest.raises(InputError, match=f"rank is {rank}; keep at least 1 column"):
        design_of(problem(), rank)


def test_effort_of_another_plant_is_refused():
    with pytest.raises(ShapeError, match="r has 4 entries for 5 blocks"):
        design_of(problem(r=torch.ones(4)))
