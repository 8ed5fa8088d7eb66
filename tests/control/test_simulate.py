"""A plan, a simulated loop and a law stepped by hand are one thing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_plants import plants, randn, random_law, random_plant, unit_rows

from steersman.control import AffineLaw, Relative, Units, plan, reached, simulate
from steersman.errors import InputError, ShapeError

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)


def run_in_front_of_blocks(system, drift, law, reference, units, x0):
    """Step a law as an engine does, on blocks `f_t(x) = A_t x + drift_t`, for several rows."""
    x, nominal, state, inputs = x0, x0, law.init(len(x0)), []
    for block in range(system.blocks):
        s = reference.at(block, units, len(x), law.observe(nominal, block))
        state, u = law.step(state, x, s, block)
        x = x @ system.A[block].T + drift[block] + u
        nominal = nominal @ system.A[block].T + drift[block]
        inputs.append(u)
    return torch.stack(inputs, dim=1), x - nominal


@SETTINGS
@given(plants(), st.integers(1, 3), st.integers(0, 1000), st.floats(-3, 3))
def test_plan_simulation_and_law_in_front_of_blocks_agree(system, k, seed, target):
    law, norm = random_law(seed, system, k), randn(seed + 2, system.blocks, k)
    units = Units(norm, randn(seed + 3, system.blocks, k))
    schedule = plan(system, law, norm)
    rollout = simulate(system, law, target * norm)
    x0, drift = randn(seed + 4, 2, system.n), randn(seed + 5, system.blocks, system.n)
    inputs, moved = run_in_front_of_blocks(system, drift, law, Relative(target), units, x0)
    for row in range(2):
        assert torch.allclose(inputs[row], rollout.inputs, rtol=1e-6, atol=1e-7)
        assert torch.allclose(moved[row], rollout.states[-1], rtol=1e-6, atol=1e-7)
    assert torch.allclose(target * schedule, rollout.inputs, rtol=1e-9, atol=1e-10)


@SETTINGS
@given(plants(), st.integers(0, 1000))
def test_an_open_loop_schedule_replays_the_plan(system, seed):
    law, shifts = random_law(seed, system, 2), randn(seed, system.blocks, 2)
    closed = simulate(system, law, shifts)
    ones = torch.ones(system.blocks, 1).double()
    replayed = simulate(system, AffineLaw.schedule(closed.inputs), ones)
    assert torch.allclose(replayed.states, closed.states)


def test_a_free_run_from_any_state_is_the_closed_loop_matrix_product():
    system = random_plant()
    law, x0 = random_law(1, system, 2), randn(2, 6)
    rollout = simulate(system, law, torch.zeros(5, 2).double(), x0)
    expected = x0
    for A in system.closed_loop(law.H, law.G).A:
        expected = A @ expected
    assert torch.allclose(rollout.states[-1], expected)
    assert torch.equal(rollout.states[0], x0)


def test_features_are_the_projections_of_the_states():
    system, v = random_plant(), unit_rows(1, 6, 6)
    rollout = simulate(system, random_law(1, system), randn(2, 5, 1))
    features = rollout.features(v)
    assert float(features[0]) == 0.0
    moved = reached(system, rollout.inputs.unsqueeze(-1), v[-1:].mT)
    assert float(features[-1]) == pytest.approx(float(moved))
    with pytest.raises(ShapeError, match="states=6"):
        rollout.features(v[:-1])


@pytest.mark.usefixtures("unchecked")
def test_parts_of_another_plant_are_refused():
    system = random_plant()
    law = random_law(1, system)
    with pytest.raises(InputError, match="The law has 4 blocks of width 6, the system 5"):
        simulate(system, random_law(1, random_plant(blocks=4)), randn(0, 4, 1))
    with pytest.raises(ShapeError, match="setpoints has shape"):
        simulate(system, law, randn(0, 5, 2))
    with pytest.raises(ShapeError, match="delta0 has shape"):
        simulate(system, law, randn(0, 5, 1), randn(0, 7))
    with pytest.raises(ShapeError, match="inputs has shape"):
        reached(system, randn(0, 4, 6, 1), randn(0, 6, 1))
    with pytest.raises(ShapeError, match="terminal has shape"):
        reached(system, randn(0, 5, 6, 1), randn(0, 7, 1))
