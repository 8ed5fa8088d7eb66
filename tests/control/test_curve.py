"""Splines against scipy, and setpoints on a curve."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline
from toy_plants import randn

from steersman.control import CurveLaw, spline
from steersman.errors import InputError, ShapeError

BLOCKS, N, K, ROWS = 2, 7, 3, 4
SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)


def frame(seed: int) -> torch.Tensor:
    return torch.linalg.qr(randn(seed, BLOCKS, N, K))[0]


def law(seed: int, points: int = 6, **settings) -> CurveLaw:
    periodic = settings.get("periodic", False)
    curves = [spline(randn(seed + block, points, K), periodic) for block in range(BLOCKS)]
    return CurveLaw(frame(seed), torch.stack(curves), **settings)


def each(value: float) -> torch.Tensor:
    return torch.full((ROWS, 1), value, dtype=torch.float64)


def asked(place: float, own: float) -> torch.Tensor:
    return torch.cat([each(place), each(own)], dim=1)


@SETTINGS
@given(st.integers(0, 10**6), st.integers(2, 9), st.floats(0, 1))
def test_the_open_spline_is_scipys_natural_one(seed, points, share):
    y = randn(seed, points, K)
    one = CurveLaw(frame(0), spline(y).expand(BLOCKS, -1, -1, -1))
    at = share * (points - 1)
    expected = CubicSpline(np.arange(points), y.numpy(), bc_type="natural")(at)
    np.testing.assert_allclose(one.place(each(at), 0)[0].numpy(), expected, rtol=1e-9, atol=1e-9)


@SETTINGS
@given(st.integers(0, 10**6), st.integers(3, 9), st.floats(-20, 20))
def test_the_closed_spline_is_scipys_periodic_one_and_goes_round(seed, points, at):
    y = randn(seed, points, K)
    one = CurveLaw(frame(0), spline(y, True).expand(BLOCKS, -1, -1, -1), periodic=True)
    closed = CubicSpline(np.arange(points + 1), np.r_[y.numpy(), y[:1]], bc_type="periodic")
    found = one.place(each(at), 0)[0].numpy()
    np.testing.assert_allclose(found, closed(at % points), rtol=1e-7, atol=1e-7)


def test_beyond_its_ends_an_open_curve_goes_on_straight():
    one = law(0)
    for end, sign in ((0.0, -1.0), (5.0, 1.0)):
        there, near, far = (one.place(each(end + sign * d), 0) for d in (0.0, 1.0, 3.0))
        torch.testing.assert_close(far - there, 3 * (near - there))
        step = 1e-6
        slope = (one.place(each(end - sign * step), 0) - there) / step
        torch.testing.assert_close(near - there, -slope, rtol=1e-4, atol=1e-4)


def test_two_points_are_joined_by_a_straight_line():
    y = randn(0, 2, K)
    one = CurveLaw(frame(0), spline(y).expand(BLOCKS, -1, -1, -1))
    for at in (-1.0, 0.0, 0.3, 1.0, 2.5):
        torch.testing.assert_close(one.place(each(at), 0)[0], y[0] + at * (y[1] - y[0]))


@SETTINGS
@given(st.integers(0, 10**6), st.floats(-1, 7))
def test_a_state_whose_own_part_is_replaced_is_at_the_curves_point(seed, at):
    one, x = law(seed), randn(seed + 9, ROWS, N)
    y = x + one.step(None, x, asked(at, 1.0), 1)[1]
    torch.testing.assert_close(y @ one.U[1], one.place(each(at), 1), rtol=1e-10, atol=1e-10)
    rest = (y - x) - (y - x) @ one.U[1] @ one.U[1].T
    assert float(rest.abs().max()) < 1e-10
    again = y + one.step(None, y, asked(at, 1.0), 1)[1]
    torch.testing.assert_close(again, y, rtol=0, atol=1e-10)


@SETTINGS
@given(st.integers(0, 10**6), st.floats(-2, 5))
def test_from_a_place_the_state_goes_the_curves_own_way(seed, by):
    one, x = law(seed, start=2.0), randn(seed + 9, ROWS, N)
    _, u = one.step(None, x, asked(2.0 + by, 0.0), 0)
    expected = (one.place(each(2.0 + by), 0) - one.place(each(2.0), 0)) @ one.U[0].T
    torch.testing.assert_close(u, expected)
    assert not one.step(None, x, asked(2.0, 0.0), 0)[1].any()


def test_what_is_no_curve_or_no_frame_is_refused():
    with pytest.raises(InputError, match="at least 2"):
        spline(randn(0, 1, K))
    with pytest.raises(InputError, match="at least 3"):
        spline(randn(0, 2, K), periodic=True)
    with pytest.raises(InputError, match="not orthonormal"):
        CurveLaw(2 * frame(0), law(0).pieces)


@pytest.mark.usefixtures("unchecked")
def test_a_curve_of_another_subspace_is_refused():
    with pytest.raises(ShapeError, match="expected"):
        CurveLaw(frame(0), law(0).pieces[..., :2])
    with pytest.raises(ShapeError, match="points has shape"):
        spline(randn(0, 4))
