"""The push around an axis, written out."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_plants import randn, unit_rows

from steersman.control import CylinderLaw
from steersman.errors import ShapeError

BLOCKS, N, K, ROWS = 2, 6, 3, 5


def law(seed: int, penalty: float) -> CylinderLaw:
    H, G, o = randn(seed, BLOCKS, N, K), randn(seed + 1, BLOCKS, N, K), randn(seed + 2, BLOCKS, K)
    return CylinderLaw(H, G, o, unit_rows(seed + 3, BLOCKS, N), randn(4, BLOCKS).abs(), penalty)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(-2, 2))
def test_it_is_the_axis_and_the_normal_part_of_what_the_state_asks_for(seed, penalty, s):
    one, x = law(seed, penalty), randn(seed + 5, ROWS, N)
    _, u = one.step(None, x, torch.full((ROWS, 1), s, dtype=torch.float64), 1)
    a, L = one.axis[1].numpy(), float(one.length[1])
    for row, found in zip(x.numpy(), u.numpy(), strict=True):
        d = one.G[1].numpy() @ (one.o[1].numpy() + one.H[1].numpy().T @ row)
        cos = d @ a / np.linalg.norm(d)
        n = d - (d @ a) * a
        n = n / np.linalg.norm(n)
        expected = s * L * (cos * a + (1 - penalty) * np.sqrt(1 - cos**2) * n)
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


def test_without_a_penalty_every_push_is_as_long_and_with_all_of_it_along_the_axis():
    x, ones = randn(0, ROWS, N), torch.ones(ROWS, 1).double()
    whole, along = law(1, 0.0), law(1, 1.0)
    _, u = whole.step(None, x, ones, 0)
    torch.testing.assert_close(u.norm(dim=1), whole.length[0].expand(ROWS))
    _, kept = along.step(None, x, ones, 0)
    torch.testing.assert_close(kept, (u @ whole.axis[0])[:, None] * whole.axis[0])


def test_a_state_that_asks_for_nothing_gets_nothing():
    one = law(1, 0.5)
    still = CylinderLaw(one.H, one.G, torch.zeros_like(one.o), one.axis, one.length, 0.5)
    _, u = still.step(None, torch.zeros(2, N).double(), torch.ones(2, 1).double(), 0)
    assert torch.equal(u, torch.zeros_like(u))


@pytest.mark.usefixtures("unchecked")
def test_an_axis_that_does_not_fit_is_refused():
    one = law(0, 0.0)
    with pytest.raises(ShapeError, match="axis has shape"):
        CylinderLaw(one.H, one.G, one.o, one.axis[:, :2], one.length)
