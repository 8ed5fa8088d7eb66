"""Rotation in float64: lengths stay, angles arrive, what is outside the plane is not touched."""

from math import cos, pi, sin

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_plants import randn

from steersman.control import Absolute, AngularLaw, Relative, Units
from steersman.errors import InputError, NumericalError, ShapeError

BLOCKS, N = 4, 7
ANGLES = st.floats(-10, 10)
SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)


def each(rows: int, value: float) -> torch.Tensor:
    """One angle for every row."""
    return torch.full((rows, 1), value, dtype=torch.float64)


def planes(seed: int = 0) -> torch.Tensor:
    return torch.linalg.qr(randn(seed, BLOCKS, N, 2))[0]


def turned(law: AngularLaw, x: torch.Tensor, to: torch.Tensor, block: int) -> torch.Tensor:
    return x + law.step(law.init(len(x)), x, to, block)[1]


def apart(a: torch.Tensor, b: float) -> float:
    """How far angles are from one of them, the short way round, at most."""
    return float((torch.remainder(a - b + pi, 2 * pi) - pi).abs().max())


@SETTINGS
@given(st.integers(0, 10**6), ANGLES, st.integers(0, BLOCKS - 1))
def test_the_state_keeps_its_length_and_points_where_it_is_asked_to(seed, angle, block):
    law, x = AngularLaw(planes(seed)), randn(seed + 1, 5, N)
    moved = turned(law, x, each(5, angle), block)
    torch.testing.assert_close(moved.norm(dim=1), x.norm(dim=1), rtol=1e-14, atol=0)
    assert apart(law.observe(moved, block), angle) < 1e-13


@SETTINGS
@given(st.integers(0, 10**6), ANGLES)
def test_nothing_outside_the_plane_is_touched(seed, angle):
    law, x = AngularLaw(planes(seed)), randn(seed + 1, 5, N)
    _, u = law.step(None, x, each(5, angle), 2)
    outside = u - (u @ law.H[2]) @ law.H[2].T
    assert float(outside.abs().max()) < 1e-14
    rest = x - (x @ law.H[2]) @ law.H[2].T
    assert float(law.step(None, rest, each(5, angle), 2)[1].abs().max()) < 1e-14


@SETTINGS
@given(st.integers(0, 10**6), ANGLES)
def test_there_and_back_again_is_the_identity(seed, turn):
    law, x = AngularLaw(planes(seed)), randn(seed + 1, 5, N)
    before = law.observe(x, 1)
    there = turned(law, x, before + turn, 1)
    back = turned(law, there, law.observe(there, 1) - turn, 1)
    torch.testing.assert_close(back, x, rtol=1e-13, atol=1e-13)


def test_it_is_the_rotation_matrix_written_out():
    law, x, turn = AngularLaw(planes(3)), randn(4, 6, N), 0.7
    R = torch.tensor([[cos(turn), -sin(turn)], [sin(turn), cos(turn)]], dtype=torch.float64)
    H = law.H[3]
    whole = torch.eye(N).double() - H @ H.T + H @ R @ H.T
    moved = turned(law, x, law.observe(x, 3) + turn, 3)
    torch.testing.assert_close(moved, x @ whole.T)


def test_it_is_the_one_law_with_a_setpoint_as_long_as_what_is_observed():
    law, x, s = AngularLaw(planes(3)), randn(4, 6, N), randn(5, 6, 1)
    z = x @ law.H[0]
    goal = z.norm(dim=1, keepdim=True) * torch.cat([s.cos(), s.sin()], dim=1)
    _, u = law.step(None, x, s, 0)
    torch.testing.assert_close(u, (goal - z) @ law.H[0].T)


def test_a_turn_of_zero_is_exactly_zero():
    law, x = AngularLaw(planes()), randn(1, 50, N)
    units = Units(torch.ones(BLOCKS, 1).double(), torch.zeros(BLOCKS, 1).double())
    s = Relative(0.0).at(1, units, 50, law.observe(x, 1))
    assert torch.equal(law.step(None, x, s, 1)[1], torch.zeros(50, N).double())


def test_a_small_turn_is_not_lost_in_rounding():
    law, x = AngularLaw(planes()), randn(1, 5, N)
    x = (x @ law.H[0]) @ law.H[0].T
    _, u = law.step(None, x, law.observe(x, 0) + 1e-9, 0)
    torch.testing.assert_close(u.norm(dim=1), 1e-9 * x.norm(dim=1), rtol=1e-5, atol=0)


def test_an_absolute_fraction_is_between_the_two_angles():
    law, x = AngularLaw(planes()), randn(1, 3, N)
    units = Units(each(BLOCKS, 0.8), each(BLOCKS, -0.5))
    moved = turned(law, x, Absolute(0.25).at(2, units, 3), 2)
    assert apart(law.observe(moved, 2), -0.3) < 1e-13


def test_a_state_without_a_part_in_the_plane_is_left_alone():
    law = AngularLaw(planes())
    _, u = law.step(None, torch.zeros(2, N).double(), torch.ones(2, 1).double(), 0)
    assert torch.equal(u, torch.zeros(2, N).double())


def test_rows_do_not_touch_each_other():
    law, x, s = AngularLaw(planes()), randn(1, 4, N), randn(2, 4, 1)
    together = turned(law, x, s, 1)
    for row in range(4):
        torch.testing.assert_close(turned(law, x[[row]], s[[row]], 1)[0], together[row])


def test_beyond_the_line_a_state_is_left_alone():
    until = torch.full((BLOCKS,), 0.4).double()
    law = AngularLaw(planes(), until)
    angles = torch.tensor([0.3, 0.5, 0.4 - 3.1, 0.4 + 3.1, -0.2]).double()
    z = torch.stack([angles.cos(), angles.sin()], dim=1)
    x = randn(1, 5, N)
    x = x - (x @ law.H[0]) @ law.H[0].T + z @ law.H[0].T
    _, u = law.step(None, x, each(5, 1.0), 0)
    assert u.any(dim=1).tolist() == [True, False, True, False, True]


def test_the_published_gate_is_a_line_at_a_right_angle_to_the_feature():
    """It acts where `x . b > 0`; our second axis is the desired one, `-b`."""
    law, x = AngularLaw(planes(), torch.zeros(BLOCKS).double()), randn(1, 200, N)
    _, u = law.step(None, x, each(200, 1.0), 0)
    assert torch.equal(u.any(dim=1), x @ -law.H[0, :, 1] > 0)


def test_a_block_without_a_plane_never_acts():
    H = planes()
    H[1] = 0
    law, x = AngularLaw(H), randn(1, 2, N)
    assert [law.is_active(block) for block in range(BLOCKS)] == [True, False, True, True]
    assert not law.step(None, x, torch.ones(2, 1).double(), 1)[1].any()


def test_half_precision_states_are_turned_in_the_precision_of_the_law():
    law = AngularLaw(planes().float(), torch.zeros(BLOCKS)).to("cpu")
    _, u = law.step(None, randn(1, 2, N).half(), torch.ones(2, 1), 0)
    assert u.dtype == torch.float32
    assert (law.blocks, law.n, law.k, law.dtype) == (BLOCKS, N, 1, torch.float32)


def test_columns_that_are_not_orthonormal_are_refused():
    H = planes()
    H[2, :, 1] *= 1.01
    with pytest.raises(InputError, match="block 2 are not orthonormal, by 0.02"):
        AngularLaw(H)


@pytest.mark.usefixtures("unchecked")
def test_other_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"expected \(blocks, n, 2\)"):
        AngularLaw(randn(0, BLOCKS, N, 3))
    with pytest.raises(ShapeError, match="until has shape"):
        AngularLaw(planes(), torch.zeros(BLOCKS + 1))
    with pytest.raises(ShapeError, match="reference has shape"):
        AngularLaw(planes()).step(None, randn(1, 2, N), torch.ones(2, 2), 0)


def test_what_is_not_finite_or_half_precision_is_refused():
    with pytest.raises(NumericalError, match="H has 1 NaN"):
        H = planes()
        H[0, 0, 0] = torch.nan
        AngularLaw(H)
    with pytest.raises(NumericalError, match="until has 4 NaN"):
        AngularLaw(planes(), torch.full((BLOCKS,), torch.nan).double())
    with pytest.raises(InputError, match="float16"):
        AngularLaw(planes().half())


@pytest.mark.parametrize("angle", [float("nan"), float("inf")])
def test_an_angle_that_is_not_finite_is_refused(angle):
    with pytest.raises(InputError, match=r"target is (nan|inf); it must be finite"):
        Absolute(angle)
