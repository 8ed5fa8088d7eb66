"""The turn toward a direction, against spherical linear interpolation written out."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_plants import randn, unit_rows

from steersman.control import GreatCircleLaw
from steersman.errors import InputError, ShapeError

BLOCKS, N, ROWS = 3, 6, 5
SETTINGS = settings(max_examples=50, deadline=None, derandomize=True)


def turned(v: torch.Tensor, x: torch.Tensor, share: float, block: int = 1) -> torch.Tensor:
    asked = torch.full((len(x), 1), share, dtype=torch.float64)
    return x + GreatCircleLaw(v).step(None, x, asked, block)[1]


@SETTINGS
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_it_is_spherical_linear_interpolation_and_keeps_the_length(seed, share):
    v, x = unit_rows(seed, BLOCKS, N), 3 * randn(seed + 1, ROWS, N)
    found = turned(v, x, share)
    for before, after in zip(x.numpy(), found.numpy(), strict=True):
        unit, length = before / np.linalg.norm(before), np.linalg.norm(before)
        theta = np.arccos(np.clip(unit @ v[1].numpy(), -1, 1))
        one, other = np.sin((1 - share) * theta), np.sin(share * theta)
        expected = length * (one * unit + other * v[1].numpy()) / np.sin(theta)
        np.testing.assert_allclose(after, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.norm(dim=1), x.norm(dim=1), rtol=1e-13, atol=0)


@SETTINGS
@given(st.integers(0, 10**6))
def test_the_whole_way_points_along_the_direction_and_none_is_nowhere(seed):
    v, x = unit_rows(seed, BLOCKS, N), randn(seed + 1, ROWS, N)
    whole = turned(v, x, 1.0)
    torch.testing.assert_close(whole, x.norm(dim=1, keepdim=True) * v[1], rtol=1e-9, atol=1e-9)
    assert torch.equal(turned(v, x, 0.0), x)


def test_states_that_have_no_way_to_turn_stay_and_none_is_lost_to_nan():
    v = unit_rows(0, BLOCKS, N)
    x = torch.stack([2 * v[1], -2 * v[1], torch.zeros(N).double()])
    for share in (0.5, 1.0):
        torch.testing.assert_close(turned(v, x, share), x, rtol=0, atol=1e-14)
    small = GreatCircleLaw(v.float()).step(None, x.float(), torch.ones(3, 1), 1)[1]
    assert bool(small.isfinite().all()) and float(small.abs().max()) < 1e-5


def test_what_is_no_direction_is_refused():
    v = unit_rows(0, BLOCKS, N)
    with pytest.raises(InputError, match="v at block 1 has length 2"):
        GreatCircleLaw(v * torch.tensor([1.0, 2.0, 1.0]).double()[:, None])
    v[0] = 0
    assert [GreatCircleLaw(v).is_active(t) for t in range(BLOCKS)] == [False, True, True]


@pytest.mark.usefixtures("unchecked")
def test_a_tensor_of_another_shape_is_refused():
    with pytest.raises(ShapeError, match="expected"):
        GreatCircleLaw(randn(0, BLOCKS, N, 2))
