"""Low-rank stand-ins for the dense LQR gain: how near they are, and that a loop follows them."""

import pytest
import torch
from hypothesis import given, settings
from toy_plants import WEIGHTS, plants, randn, random_plant

from steersman.control import AffineLaw, dense_riccati, low_rank_gains, simulate
from steersman.errors import InputError

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)


def dense(system, q, r, qf):
    return torch.stack([step.K for step in dense_riccati(system, q, r, qf)]).flip(0)


def errors(system, H, G, e0):
    """`e_t` of the loop `e_{t+1} = A_t e_t - G_t H_t' e_t`, by the law as it is stepped."""
    law = AffineLaw(H, G)
    return simulate(system, law, torch.zeros(system.blocks, law.k).double(), e0).states


@SETTINGS
@given(plants(), WEIGHTS, WEIGHTS, WEIGHTS)
def test_at_full_rank_it_is_the_dense_gain(system, q, r, qf):
    found = low_rank_gains(system, q, r, qf)
    K = dense(system, q, r, qf)
    torch.testing.assert_close(found.G @ found.H.mT, K, rtol=1e-9, atol=1e-11)
    assert not found.discarded.any()


@SETTINGS
@given(plants(), WEIGHTS, WEIGHTS)
def test_what_is_left_out_is_no_more_than_the_bound_and_attains_it(system, q, r):
    rank = max(1, system.n // 2)
    found = low_rank_gains(system, q, r, 1.0, rank=rank)
    missing = dense(system, q, r, 1.0) - found.G @ found.H.mT
    e = randn(3, system.blocks, system.n)
    left_out = torch.einsum("tij,tj->ti", missing, e).norm(dim=1)
    assert (left_out <= found.discarded * e.norm(dim=1) * (1 + 1e-9) + 1e-12).all()
    norms = torch.linalg.matrix_norm(missing, ord=2)
    torch.testing.assert_close(norms, found.discarded, rtol=1e-7, atol=1e-11)


def test_the_columns_that_observe_are_orthonormal_and_those_that_act_in_falling_order():
    found = low_rank_gains(random_plant(n=8), 1.0, 0.1, 1.0, rank=3)
    eye = torch.eye(3).double().expand(5, -1, -1)
    torch.testing.assert_close(found.H.mT @ found.H, eye)
    sizes = found.G.norm(dim=1)
    assert (sizes[:, :-1] >= sizes[:, 1:]).all()
    assert (sizes[:, -1] >= found.discarded).all()


def test_the_tracking_error_decays_as_that_of_the_dense_regulator():
    system = random_plant(blocks=12, n=8, gain=0.8)
    K, e0 = dense(system, 1.0, 0.1, 1.0), randn(5, 8)
    found = low_rank_gains(system, 1.0, 0.1, 1.0)
    followed = errors(system, found.H, found.G, e0)
    eye = torch.eye(8).double().expand(12, -1, -1)
    regulated = errors(system, eye, K, e0)
    torch.testing.assert_close(followed, regulated, rtol=1e-9, atol=1e-12)
    assert float(followed[-1].norm()) < 1e-6 * float(e0.norm())
    free = errors(system, torch.zeros_like(found.H), found.G, e0)
    assert float(free[-1].norm()) > float(e0.norm())


@pytest.mark.parametrize("rank", [1, 3, 5, 7])
def test_a_truncated_loop_stays_as_near_to_the_dense_one_as_the_bound_allows(rank):
    system = random_plant(blocks=6, n=8, gain=0.6)
    K, e0 = dense(system, 1.0, 0.1, 1.0), randn(5, 8)
    found = low_rank_gains(system, 1.0, 0.1, 1.0, rank=rank)
    followed = errors(system, found.H, found.G, e0)
    regulated = errors(system, torch.eye(8).double().expand(6, -1, -1), K, e0)
    # d_{t+1} = (A_t - K_t) d_t + (K_t - G_t H_t') e_t, and the last factor is bounded.
    bound = torch.zeros(1).double()
    for t in range(6):
        loop = torch.linalg.matrix_norm(system.A[t] - K[t], ord=2)
        bound = loop * bound + found.discarded[t] * followed[t].norm()
        assert float((followed[t + 1] - regulated[t + 1]).norm()) <= float(bound) * (1 + 1e-9)


def test_more_directions_follow_more_closely():
    system, e0 = random_plant(blocks=6, n=8, gain=0.3), randn(5, 8)
    left = []
    for rank in (2, 4, 6, 8):
        found = low_rank_gains(system, 1.0, 0.1, 1.0, rank=rank)
        left.append(float(errors(system, found.H, found.G, e0)[-1].norm()))
    assert left == sorted(left, reverse=True) and left[-1] < 1e-3 * left[0]


def test_a_tolerance_leaves_out_what_is_small_and_fills_up_with_zeros():
    system = random_plant(blocks=4, n=8, gain=1.0)
    found = low_rank_gains(system, 1.0, 0.1, 1.0, tolerance=0.4)
    sizes = torch.linalg.svdvals(dense(system, 1.0, 0.1, 1.0))
    kept = (sizes > 0.4 * sizes[:, :1]).sum(dim=1)
    assert found.H.shape[-1] == int(kept.max()) < 8
    assert found.H.any(dim=1).sum(dim=1).tolist() == kept.tolist()
    assert (found.discarded <= 0.4 * sizes[:, 0]).all()
    capped = low_rank_gains(system, 1.0, 0.1, 1.0, rank=2, tolerance=0.4)
    assert capped.H.shape[-1] == 2


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rank": 0}, "rank is 0; at least one direction"),
        ({"rank": -1}, "rank is -1"),
        ({"tolerance": -0.1}, "tolerance is -0.1"),
        ({"tolerance": 1.0}, "tolerance is 1.0"),
        ({"tolerance": float("nan")}, "tolerance is nan"),
    ],
)
def test_what_cannot_be_is_refused(settings, says):
    with pytest.raises(InputError, match=says):
        low_rank_gains(random_plant(), 1.0, 0.1, 1.0, **settings)
