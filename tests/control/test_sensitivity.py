"""Features pulled back to every state, and the exact budget of their error."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_plants import plants, randn, random_law, random_plant

from steersman.control import ClosedLoop, answer, sensitivities
from steersman.errors import NumericalError, ShapeError

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)


def transition(system, end, start):
    """`Phi(end, start)` as a product of matrices."""
    found = torch.eye(system.n).double()
    for block in range(start, end):
        found = system.A[block] @ found
    return found


@SETTINGS
@given(plants(), st.integers(1, 3), st.integers(0, 1000))
def test_they_are_the_transposed_transitions_of_the_directions(system, k, seed):
    states = system.blocks + 1
    V = randn(seed, states, system.n, k)
    S = sensitivities(system.vjp, V)
    for t in range(states):
        for s in range(states):
            expected = transition(system, s, t).mT @ V[s] if s >= t else torch.zeros_like(V[s])
            torch.testing.assert_close(S[t, s], expected, rtol=1e-9, atol=1e-9)


@SETTINGS
@given(plants(), st.integers(0, 1000))
def test_the_error_of_every_feature_is_the_sum_of_what_the_blocks_did(system, seed):
    blocks, n = system.blocks, system.n
    V, w, d0 = randn(seed, blocks + 1, n, 2), randn(seed + 1, 3, blocks, n), randn(seed + 2, n)
    S = sensitivities(system.vjp, V)
    d = [d0.expand(3, n)]
    for t in range(blocks):
        d.append(d[-1] @ system.A[t].mT + w[:, t])
    errors = torch.einsum("snk,rsn->rsk", V, torch.stack(d, 1))
    found = answer(S, w).sum(1) + torch.einsum("snk,n->sk", S[0], d0)
    torch.testing.assert_close(found, errors, rtol=1e-9, atol=1e-9)


def test_a_block_changes_nothing_before_it():
    system = random_plant()
    given_by = answer(sensitivities(system.vjp, randn(0, 6, 6, 1)), randn(1, 5, 6))
    for block in range(5):
        assert not bool(given_by[block, : block + 1].any())


@SETTINGS
@given(plants(), st.integers(1, 3), st.integers(0, 1000))
def test_a_closed_loop_by_products_is_the_one_by_matrices(system, k, seed):
    law = random_law(seed, system, k)
    loop, dense = ClosedLoop(system, law.H, law.G), system.closed_loop(law.H, law.G)
    X = randn(seed + 1, system.n, 3)
    for block in range(system.blocks):
        for columns in (X, X[:, 0]):
            torch.testing.assert_close(loop.jvp(block, columns), dense.jvp(block, columns))
            torch.testing.assert_close(loop.vjp(block, columns), dense.vjp(block, columns))


def test_a_state_whose_directions_are_zero_costs_no_product():
    system, asked = random_plant(), []

    def pull(block, W):
        asked.append((block, W.shape[1]))
        return system.vjp(block, W)

    last = torch.zeros(6, 6, 2).double()
    last[-1] = randn(0, 6, 2)
    only = sensitivities(pull, last)
    assert asked == [(4, 2), (3, 2), (2, 2), (1, 2), (0, 2)]
    asked.clear()
    every = sensitivities(pull, torch.cat([randn(1, 5, 6, 2), last[-1:]]))
    assert asked == [(4, 2), (3, 4), (2, 6), (1, 8), (0, 10)]
    torch.testing.assert_close(only[:, -1], every[:, -1])


def test_what_is_not_finite_is_named():
    with pytest.raises(NumericalError, match="Phi_4' W as given by pull"):
        sensitivities(lambda block, W: W / 0, randn(0, 6, 6, 1))
    with pytest.raises(NumericalError, match="V has 36 NaN"):
        sensitivities(random_plant().vjp, torch.full((6, 6, 1), torch.nan).double())


@pytest.mark.usefixtures("unchecked")
def test_parts_of_another_form_are_refused():
    system = random_plant()
    with pytest.raises(ShapeError, match=r"V has shape \(6, 6\)"):
        sensitivities(system.vjp, randn(0, 6, 6))
    with pytest.raises(ShapeError, match=r"w has shape \(4, 6\); expected \(.., blocks=5, n=6\)"):
        answer(sensitivities(system.vjp, randn(0, 6, 6, 1)), randn(1, 4, 6))
    with pytest.raises(ShapeError, match="H has shape"):
        ClosedLoop(system, randn(0, 4, 6, 1), randn(0, 4, 6, 1))
    with pytest.raises(ShapeError, match="G has shape"):
        ClosedLoop(system, randn(0, 5, 6, 1), randn(0, 5, 6, 2))
