"""The Riccati recursion, put back into its equations and against scipy."""

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from toy_plants import WEIGHTS, plants, randn, random_plant

from steersman.control import LTVSystem, dense_riccati
from steersman.errors import InputError, NumericalError

SETTINGS = settings(max_examples=50, deadline=None, derandomize=True)


def close(a, b, rtol=1e-9):
    scale = max(float(a.norm()), float(b.norm()), 1e-30)
    return float((a - b).norm()) <= rtol * scale


def solve(system, q, r, qf):
    """All gains and costs-to-go in the order of the blocks; `S` has one more, the final one."""
    steps = list(dense_riccati(system, q, r, qf))[::-1]
    final = qf * torch.eye(system.n, dtype=torch.float64)
    return [step.K for step in steps], [*(step.S for step in steps), final]


def test_blocks_come_last_to_first():
    assert [step.block for step in dense_riccati(random_plant(), 1.0, 1.0, 1.0)] == [4, 3, 2, 1, 0]


@SETTINGS
@given(plants(), WEIGHTS, WEIGHTS, WEIGHTS)
def test_the_solution_satisfies_the_riccati_equations(system, q, r, qf):
    K, S = solve(system, q, r, qf)
    eye = torch.eye(system.n, dtype=torch.float64)
    for t, A in enumerate(system.A):
        assert close((S[t + 1] + r * eye) @ K[t], S[t + 1] @ A)
        assert close(S[t], q * eye + A.T @ S[t + 1] @ A - A.T @ S[t + 1] @ K[t])


@SETTINGS
@given(plants(), WEIGHTS, WEIGHTS, WEIGHTS)
def test_the_cost_to_go_falls_by_what_each_block_costs(system, q, r, qf):
    K, S = solve(system, q, r, qf)
    for t, A in enumerate(system.A):
        loop = A - K[t]
        spent = q * torch.eye(system.n, dtype=torch.float64) + r * K[t].T @ K[t]
        assert close(S[t], spent + loop.T @ S[t + 1] @ loop)


@SETTINGS
@given(plants(), WEIGHTS, WEIGHTS, WEIGHTS)
def test_the_cost_to_go_is_symmetric_and_at_least_q(system, q, r, qf):
    _, S = solve(system, q, r, qf)
    for matrix in S[:-1]:
        assert torch.equal(matrix, matrix.T)
        assert float(torch.linalg.eigvalsh(matrix).min()) >= q * (1 - 1e-9)


@SETTINGS
@given(plants(), WEIGHTS, WEIGHTS, WEIGHTS, WEIGHTS)
def test_gains_depend_only_on_ratios_of_weights(system, q, r, qf, scale):
    K, S = solve(system, q, r, qf)
    K_scaled, S_scaled = solve(system, scale * q, scale * r, scale * qf)
    assert all(close(a, b) for a, b in zip(K, K_scaled, strict=True))
    assert all(close(scale * a, b) for a, b in zip(S, S_scaled, strict=True))


@pytest.mark.parametrize(("q", "r", "qf"), [(1.0, 1.0, 1.0), (0.1, 10.0, 3.0), (5.0, 0.2, 0.01)])
def test_a_long_constant_plant_reaches_the_algebraic_solution_of_scipy(q, r, qf):
    A = random_plant(3, blocks=1, n=5, gain=1.0).A[0]
    system = LTVSystem(A.expand(300, -1, -1))
    *_, first = dense_riccati(system, q, r, qf)
    eye = np.eye(5)
    S = scipy.linalg.solve_discrete_are(A.numpy(), eye, q * eye, r * eye)
    K = np.linalg.solve(S + r * eye, S @ A.numpy())
    np.testing.assert_allclose(first.S.numpy(), S, rtol=1e-8, atol=1e-10 * np.abs(S).max())
    np.testing.assert_allclose(first.K.numpy(), K, rtol=1e-8, atol=1e-10 * np.abs(K).max())


def test_the_closed_loop_contracts_where_the_open_loop_grows():
    A = random_plant(3, blocks=1, n=5, gain=1.0).A[0]
    *_, first = dense_riccati(LTVSystem(A.expand(100, -1, -1)), 1.0, 1.0, 1.0)
    assert float(torch.linalg.eigvals(A).abs().max()) > 1.2
    assert float(torch.linalg.eigvals(A - first.K).abs().max()) < 0.9


@SETTINGS
@given(plants(), WEIGHTS, WEIGHTS, WEIGHTS)
def test_any_run_of_the_closed_loop_shrinks_in_the_metric_of_the_cost(system, q, r, qf):
    K, S = solve(system, q, r, qf)
    x = randn(1, system.n)
    for t in range(system.blocks):
        before, x = x @ S[t] @ x, system.jvp(t, x) - K[t] @ x
        assert float(x @ S[t + 1] @ x) < float(before)


def test_a_float32_plant_is_solved_in_float64():
    system = random_plant()
    single = [step.K for step in dense_riccati(system.to(torch.float32), 1.0, 2.0, 3.0)]
    double = [step.K for step in dense_riccati(system, 1.0, 2.0, 3.0)]
    assert single[0].dtype == torch.float64
    assert all(close(a, b, 1e-6) for a, b in zip(single, double, strict=True))


def test_a_channel_of_huge_gain_keeps_the_other_gains_right():
    A = random_plant(blocks=20, n=8).A.clone()
    A[:, :, 3] *= 3000.0
    K, S = solve(LTVSystem(A), 0.1, 10.0, 10.0)
    for t in range(20):
        loop = A[t] - K[t]
        spent = 0.1 * torch.eye(8, dtype=torch.float64) + 10.0 * K[t].T @ K[t]
        assert close(S[t], spent + loop.T @ S[t + 1] @ loop)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["q", "r", "qf"])
def test_a_weight_that_is_not_positive_is_refused_at_the_call(name, value):
    weights = {"q": 1.0, "r": 1.0, "qf": 1.0, name: value}
    with pytest.raises(InputError, match=f"^{name} is "):
        dense_riccati(random_plant(), **weights)


def test_an_overflowing_recursion_names_the_block():
    system = LTVSystem(1e200 * torch.eye(2, dtype=torch.float64).expand(3, 2, 2))
    with pytest.raises(NumericalError, match="block 1.*Lower q/r"):
        list(dense_riccati(system, 1.0, 1e20, 1e-150))
