"""The norms in which a loop contracts, against dense recursions and closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_plants import plants, randn, random_law, random_plant

from steersman.control import LTVSystem, Lyapunov
from steersman.errors import NumericalError, ShapeError

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)


def dense_norms(system):
    """`P_0 .. P_T` by the recursion as it is written."""
    P = [np.eye(system.n)]
    for A in reversed(system.A.double().numpy()):
        P.append(A.T @ P[-1] @ A + np.eye(system.n))
    return np.stack(P[::-1])


def induced(M, into, out_of):
    """`|M|_{P -> P'}` by the symmetric square roots of the two."""
    values, vectors = np.linalg.eigh(out_of)
    back = vectors / np.sqrt(values) @ vectors.T
    values, vectors = np.linalg.eigh(into)
    forth = vectors * np.sqrt(values) @ vectors.T
    return np.linalg.norm(forth @ M @ back, 2)


@SETTINGS
@given(plants())
def test_the_factors_are_the_cholesky_factors_of_the_recursion(system):
    found, expected = Lyapunov.of(system).factors, dense_norms(system)
    np.testing.assert_allclose(found @ found.mT, expected, rtol=1e-9, atol=1e-9)
    assert torch.equal(found, found.tril())
    assert bool((torch.diagonal(found, dim1=1, dim2=2) > 0).all())


@SETTINGS
@given(plants(), st.integers(0, 1000))
def test_the_squared_norm_is_the_energy_of_the_free_run(system, seed):
    x = [randn(seed, system.n)]
    for A in system.A:
        x.append(A @ x[-1])
    x = torch.stack(x)
    energy = x.square().sum(1).flip(0).cumsum(0).flip(0)
    torch.testing.assert_close(Lyapunov.of(system).norms(x).square(), energy, rtol=1e-9, atol=1e-9)


@SETTINGS
@given(plants())
def test_the_gains_are_the_induced_norms_of_every_transition(system):
    found, P = Lyapunov.of(system).gains(system), dense_norms(system)
    for start in range(system.blocks):
        M = np.eye(system.n)
        for block in range(start, system.blocks):
            M = system.A[block].numpy() @ M
            expected = induced(M, P[block + 1], P[start])
            assert float(found[block + 1, start]) == pytest.approx(expected, rel=1e-7, abs=1e-12)
    assert torch.equal(found, found.tril())
    assert torch.equal(torch.diagonal(found), torch.ones(system.blocks + 1).double())


@SETTINGS
@given(plants())
def test_every_step_contracts_by_what_its_largest_eigenvalue_says(system):
    gains, P = Lyapunov.of(system).gains(system), dense_norms(system)
    for block in range(system.blocks):
        expected = np.sqrt(1 - 1 / np.linalg.eigvalsh(P[block])[-1])
        assert float(gains[block + 1, block]) == pytest.approx(expected, rel=1e-7, abs=1e-7)
        assert float(gains[block + 1, block]) < 1


@SETTINGS
@given(plants(), st.integers(0, 1000))
def test_the_dual_norm_is_the_largest_feature_of_a_unit_state(system, seed):
    norms, v = Lyapunov.of(system), randn(seed, system.blocks + 1, system.n)
    dual = norms.dual_norms(v)
    P = torch.from_numpy(dense_norms(system))
    worst = torch.linalg.solve(P, v)
    reached = (worst * v).sum(1) / norms.norms(worst)
    torch.testing.assert_close(reached, dual, rtol=1e-8, atol=1e-10)
    other = randn(seed + 1, 20, system.blocks + 1, system.n)
    assert bool(((other * v).sum(-1).abs() <= dual * norms.norms(other) * (1 + 1e-10)).all())


def test_a_scalar_loop_has_the_norms_of_its_geometric_sum():
    system = LTVSystem(torch.tensor([2.0, 0.5, 3.0]).double().reshape(3, 1, 1))
    norms = Lyapunov.of(system)
    # P_3 = 1, P_2 = 9 + 1, P_1 = 10/4 + 1, P_0 = 4 * 3.5 + 1
    squares = torch.tensor([15.0, 3.5, 10.0, 1.0]).double()
    torch.testing.assert_close(norms.factors.flatten().square(), squares)
    gains = norms.gains(system)
    assert float(gains[3, 0]) == pytest.approx(3.0 / 15.0**0.5)
    assert float(gains[2, 1]) == pytest.approx(0.5 * (10 / 3.5) ** 0.5)


def test_a_singular_loop_has_norms_and_forgets():
    system = LTVSystem(torch.zeros(3, 4, 4).double())
    norms = Lyapunov.of(system)
    assert torch.equal(norms.factors, torch.eye(4).double().expand(4, 4, 4))
    assert torch.equal(norms.gains(system), torch.eye(4).double())


def test_gains_beyond_float32_are_computed_in_float64():
    system = LTVSystem(torch.eye(3).expand(8, 3, 3) * 1e9)
    norms = Lyapunov.of(system)
    assert norms.factors.dtype == torch.float64
    assert bool(torch.isfinite(norms.gains(system)).all())


def test_one_channel_of_huge_gain_does_not_spoil_the_others():
    A = torch.eye(4).double().repeat(6, 1, 1)
    A[:, 0, 0] = 1e5
    norms = Lyapunov.of(LTVSystem(A))
    e1 = torch.zeros(7, 4).double()
    e1[:, 1] = 1
    torch.testing.assert_close(norms.norms(e1).square(), torch.arange(7.0, 0, -1).double())


def test_an_overflow_names_its_block():
    system = LTVSystem(torch.eye(2).double().expand(4, 2, 2) * 1e150)
    with pytest.raises(NumericalError, match="overflowed at block 1"):
        Lyapunov.of(system)


def test_a_closed_loop_has_norms_of_its_own():
    system = random_plant()
    law = random_law(1, system, 2)
    loop = system.closed_loop(law.H, law.G)
    open_norms, norms = Lyapunov.of(system), Lyapunov.of(loop)
    assert not torch.allclose(open_norms.factors, norms.factors)
    assert bool((torch.diagonal(norms.gains(loop), -1) < 1).all())


@pytest.mark.usefixtures("unchecked")
def test_parts_of_another_plant_are_refused():
    norms = Lyapunov.of(random_plant())
    with pytest.raises(ShapeError, match=r"x has shape \(5, 6\); expected \(.., states=6, n=6\)"):
        norms.norms(randn(0, 5, 6))
    with pytest.raises(ShapeError, match=r"v has shape \(6, 7\)"):
        norms.dual_norms(randn(0, 6, 7))
    with pytest.raises(ShapeError, match="4 blocks of width 6; these norms are for 5"):
        norms.gains(random_plant(blocks=4))
