"""What is asked of a loop for several features is what it does, on the plant and to rounding."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from toy_plants import plants, randn, random_law, random_plant, unit_rows

from steersman.control import (
    AffineLaw,
    LTVSystem,
    feature_gains,
    least_errors,
    plan,
    prefilter,
    reached,
    simulate,
)
from steersman.errors import InputError, NumericalError

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)


def directions(seed, states, n, k):
    """Unit columns, correlated with each other."""
    V = randn(seed, states, n, k) + randn(seed + 1, states, n, 1)
    return V / V.norm(dim=1, keepdim=True)


def riccati_law(system, V, q=0.1, r=1.0, qf=0.1):
    """The dense gains on the shortest state error of these features."""
    return AffineLaw(V, feature_gains(system, least_errors(V), q, r, qf))


def filtered(system, law, asked, last, units):
    return asked @ prefilter(reached(system, plan(system, law, asked), last), units)


@SETTINGS
@given(plants(), st.integers(1, 3), st.integers(0, 1000))
def test_every_demand_is_met_and_no_other_feature_moves(system, k, seed):
    assume(k <= system.n)
    V, units = directions(seed, system.blocks + 1, system.n, k), 0.5 + randn(seed + 2, k).abs()
    law = riccati_law(system, V[:-1])
    asked = torch.diag_embed(units.expand(system.blocks, k))
    answer = reached(system, plan(system, law, asked), V[-1]) / units.unsqueeze(1)
    assume(float(torch.linalg.svdvals(answer)[-1]) > 1e-3)
    shifts = asked @ prefilter(answer * units.unsqueeze(1), units)
    target = randn(seed + 3, k)
    rollout = simulate(system, law, shifts @ target)
    assert torch.allclose(V[-1].mT @ rollout.states[-1], target * units, rtol=1e-8, atol=1e-8)


def test_a_loop_that_already_arrives_needs_no_prefilter():
    units = torch.tensor([2.0, 3.0]).double()
    assert torch.allclose(prefilter(torch.diag(units), units), torch.eye(2).double())
    assert torch.allclose(prefilter(0.25 * torch.diag(units), units), 4 * torch.eye(2).double())


def test_the_shortest_error_of_the_state_shows_as_the_features_errors():
    V, e = directions(0, 4, 7, 3), randn(1, 4, 3, 1)
    V[2, :, 1] = 0.0  # a feature without contrast there
    D = least_errors(V)
    expected = e.clone()
    expected[2, 1] = 0.0
    assert torch.allclose(V.mT @ (D @ e), expected)
    for t in range(4):
        shortest = torch.linalg.lstsq(V[t].mT, expected[t], driver="gelsd").solution
        assert torch.allclose(D[t] @ e[t], shortest)


def test_the_error_of_one_feature_is_the_papers():
    v = unit_rows(0, 4, 7).unsqueeze(-1)
    assert torch.allclose(least_errors(v), v)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_loop_without_authority_is_reported(dtype):
    system, v = random_plant().to(dtype), unit_rows(1, 6, 6).unsqueeze(-1)
    still = plan(system, AffineLaw(v[:-1], torch.zeros_like(v[:-1])), torch.ones(5, 1, 1))
    with pytest.raises(NumericalError, match="moves the final feature by 0 where 1 is asked"):
        prefilter(reached(system, still, v[-1]), torch.ones(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_is_not_taken_for_authority(dtype):
    system = random_plant().to(dtype)
    law, asked = random_law(1, system), 1e4 * torch.ones(5, 1, 1)
    moved = simulate(system, law, asked[..., 0]).states[-1].double()
    v = randn(3, 6)
    sideways = v - moved * (v @ moved) / (moved @ moved)
    answer = reached(system, plan(system, law, asked), sideways.unsqueeze(-1))
    with pytest.raises(NumericalError, match="no authority"):
        prefilter(answer, torch.tensor([1e-3]))


@pytest.mark.parametrize("direction", [[1.0, 1.0], [1.0, -1.0]])
def test_a_diverging_loop_is_reported(direction):
    system = LTVSystem(1e30 * torch.eye(2).expand(3, 2, 2))
    H = torch.ones(3, 2, 1)
    inputs = plan(system, AffineLaw(H, H), torch.ones(3, 1, 1))
    with pytest.raises(NumericalError, match="moves the final feature by (nan|-?inf)"):
        prefilter(reached(system, inputs, torch.tensor(direction).unsqueeze(-1)), torch.ones(1))


def test_the_feature_that_cannot_be_moved_is_named():
    answer = torch.tensor([[1.0, 0.5], [1e-9, 1e-8]])
    with pytest.raises(NumericalError, match="final feature 'mood' by 1e-08"):
        prefilter(answer, torch.ones(2), ("topic", "mood"))


def test_demands_that_exclude_each_other_are_named():
    answer = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.2], [2.0, 0.0, 1.0]])
    with pytest.raises(NumericalError, match="'a' and 'c' one by one"):
        prefilter(answer, torch.ones(3), ("a", "b", "c"))
    with pytest.raises(NumericalError, match="features 0 and 2 one by one"):
        prefilter(answer, torch.ones(3))


@pytest.mark.parametrize("unit", [0.0, -1.0, math.nan])
def test_a_unit_that_is_not_positive_is_refused(unit):
    with pytest.raises(InputError, match="unit of the final feature 'b' is"):
        prefilter(torch.eye(2), torch.tensor([1.0, unit]), ("a", "b"))
