"""The optimum, against a least-squares solve of the whole horizon without a Riccati equation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_plants import WEIGHTS, plants, randn, random_plant

from steersman.control import cost, dense_riccati, feature_gains
from steersman.errors import InputError, NumericalError, ShapeError

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)


def optimal_inputs_by_least_squares(A, x0, q, r, qf):
    """Minimise the cost over all inputs at once: stack every state as `free + forced @ inputs`."""
    blocks, n, _ = A.shape
    free, forced = x0, np.zeros((n, blocks * n))
    rows, target = [np.sqrt(r) * np.eye(blocks * n)], [np.zeros(blocks * n)]
    for t in range(blocks):
        free, forced = A[t] @ free, A[t] @ forced
        forced[:, t * n : (t + 1) * n] += np.eye(n)
        weight = np.sqrt(qf if t == blocks - 1 else q)
        rows.append(weight * forced)
        target.append(-weight * free)
    solution = np.linalg.lstsq(np.concatenate(rows), np.concatenate(target), rcond=None)[0]
    return solution.reshape(blocks, n)


def run_state_feedback(system, x0, q, r, qf):
    gains = [step.K for step in dense_riccati(system, q, r, qf)][::-1]
    x, inputs = x0, []
    for block, K in enumerate(gains):
        inputs.append(-K @ x)
        x = system.jvp(block, x) + inputs[-1]
    return torch.stack(inputs)


@SETTINGS
@given(plants(), WEIGHTS, WEIGHTS, WEIGHTS)
def test_full_state_feedback_is_the_least_squares_optimum(system, q, r, qf):
    x0 = randn(7, system.n)
    inputs = run_state_feedback(system, x0, q, r, qf)
    expected = torch.from_numpy(
        optimal_inputs_by_least_squares(system.A.numpy(), x0.numpy(), q, r, qf)
    )
    assert float((inputs - expected).norm()) <= 1e-8 * max(1.0, float(expected.norm()))
    assert cost(system, x0, inputs, q, r, qf) == pytest.approx(
        cost(system, x0, expected, q, r, qf), rel=1e-8
    )


@SETTINGS
@given(plants(), WEIGHTS, WEIGHTS, WEIGHTS)
def test_the_optimal_cost_is_the_cost_to_go(system, q, r, qf):
    x0 = randn(7, system.n)
    *_, first = dense_riccati(system, q, r, qf)
    inputs = run_state_feedback(system, x0, q, r, qf)
    assert cost(system, x0, inputs, q, r, qf) == pytest.approx(float(x0 @ first.S @ x0), rel=1e-9)


@SETTINGS
@given(plants(), WEIGHTS, WEIGHTS, WEIGHTS, st.integers(0, 1000))
def test_no_other_inputs_cost_less(system, q, r, qf, seed):
    x0 = randn(7, system.n)
    best = run_state_feedback(system, x0, q, r, qf)
    other = best + 0.1 * randn(seed, *best.shape)
    assert cost(system, x0, other, q, r, qf) > cost(system, x0, best, q, r, qf)


@SETTINGS
@given(plants(), WEIGHTS, WEIGHTS, WEIGHTS, st.floats(-10, 10))
def test_a_gain_on_a_feature_error_is_that_many_feature_gains(system, q, r, qf, alpha):
    v = randn(5, system.blocks, system.n)
    g = feature_gains(system, v, q, r, qf)
    for block, K, _ in dense_riccati(system, q, r, qf):
        assert torch.allclose(K @ (alpha * v[block]), alpha * g[block], rtol=1e-10, atol=1e-12)


@SETTINGS
@given(plants(), WEIGHTS, WEIGHTS, WEIGHTS, WEIGHTS)
def test_feature_gains_depend_only_on_ratios_of_weights(system, q, r, qf, scale):
    v = randn(5, system.blocks, system.n)
    assert torch.allclose(
        feature_gains(system, v, q, r, qf),
        feature_gains(system, v, scale * q, scale * r, scale * qf),
    )


def test_feature_gains_keep_the_dtype_of_the_plant():
    system = random_plant().to(torch.float32)
    assert feature_gains(system, randn(0, 5, 6), 1.0, 1.0, 1.0).dtype == torch.float32


def test_cheap_inputs_cancel_the_plant_and_dear_ones_do_nothing():
    system, v = random_plant(), randn(1, 5, 6)
    cheap, dear = (feature_gains(system, v, 1.0, r, 1.0) for r in (1e-9, 1e12))
    cancelled = torch.stack([system.jvp(t, v[t]) for t in range(5)])
    assert torch.allclose(cheap, cancelled, atol=1e-6)
    assert float(dear.abs().max()) < 1e-6


@pytest.mark.usefixtures("unchecked")
def test_directions_of_the_wrong_shape_are_refused():
    with pytest.raises(ShapeError, match=r"directions has shape \(6, 6\); expected \(blocks=5, n"):
        feature_gains(random_plant(), randn(0, 6, 6), 1.0, 1.0, 1.0)


def test_directions_with_nan_are_refused():
    with pytest.raises(NumericalError, match="directions has 30 NaN"):
        feature_gains(random_plant(), torch.full((5, 6), float("nan")), 1.0, 1.0, 1.0)


def test_weights_are_checked_by_gains_and_cost():
    system = random_plant()
    with pytest.raises(InputError, match="r is 0"):
        feature_gains(system, randn(0, 5, 6), 1.0, 0.0, 1.0)
    with pytest.raises(InputError, match="qf is -1"):
        cost(system, randn(0, 6), randn(0, 5, 6), 1.0, 1.0, -1.0)


@pytest.mark.usefixtures("unchecked")
def test_cost_refuses_inputs_of_another_plant():
    with pytest.raises(ShapeError, match="inputs has shape"):
        cost(random_plant(), randn(0, 6), randn(0, 4, 6), 1.0, 1.0, 1.0)
    with pytest.raises(ShapeError, match="x0 has shape"):
        cost(random_plant(), randn(0, 7), randn(0, 5, 6), 1.0, 1.0, 1.0)
