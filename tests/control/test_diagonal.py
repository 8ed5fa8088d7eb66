"""The diagonal affine map, coordinate by coordinate, against numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_plants import randn

from steersman.control import DiagonalField
from steersman.errors import InputError, ShapeError

BLOCKS, N, ROWS = 3, 6, 5


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.floats(-2, 2))
def test_it_goes_so_much_of_the_way_to_the_image_inside_the_support(seed, s):
    omega, beta, x = randn(seed, BLOCKS, N), randn(seed + 1, BLOCKS, N), randn(seed + 2, ROWS, N)
    low, high = -randn(seed + 3, BLOCKS, N).abs(), randn(seed + 4, BLOCKS, N).abs()
    law = DiagonalField(omega, beta, low, high)
    asked = torch.full((ROWS, 1), s, dtype=torch.float64)
    found = x + law.step(None, x, asked, 2)[1]
    w, b, z = omega[2].numpy(), beta[2].numpy(), x.numpy()
    inside = (z > low[2].numpy()) & (z < high[2].numpy())
    expected = np.where(inside, s * (w * z + b) + (1 - s) * z, z)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_a_slope_of_one_without_a_shift_leaves_every_bit():
    omega, beta = torch.ones(BLOCKS, N), torch.zeros(BLOCKS, N)
    omega[1, 2], beta[1, 4] = 3.0, 0.5
    law, x = DiagonalField(omega, beta), randn(0, ROWS, N).float()
    _, y = law.added(None, x, torch.ones(ROWS, 1), 1, x)
    same = [0, 1, 3, 5]
    assert torch.equal(y[:, same], x[:, same])
    torch.testing.assert_close(y[:, 2], 3 * x[:, 2])
    torch.testing.assert_close(y[:, 4], x[:, 4] + 0.5)
    assert [law.is_active(t) for t in range(BLOCKS)] == [False, True, False]
    assert torch.equal(law.added(None, x, torch.zeros(ROWS, 1), 1, x)[1], x)


def test_a_gain_leaves_what_is_zero_at_zero():
    law = DiagonalField(torch.full((BLOCKS, N), 5.0), torch.zeros(BLOCKS, N))
    _, u = law.step(None, torch.zeros(ROWS, N), torch.ones(ROWS, 1), 0)
    assert not u.any()


@pytest.mark.usefixtures("unchecked")
def test_tensors_that_do_not_fit_are_refused():
    ones = torch.ones(BLOCKS, N)
    with pytest.raises(ShapeError, match="expected both"):
        DiagonalField(ones, ones[:, :2])
    with pytest.raises(ShapeError, match="low has shape"):
        DiagonalField(ones, ones, ones[:2])
    with pytest.raises(InputError, match="high is not a number"):
        DiagonalField(ones, ones, ones, ones * torch.nan)
