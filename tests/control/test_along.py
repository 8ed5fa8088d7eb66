"""Setpoints along a direction: each moves the projection as its formula says, and nothing else."""

from math import log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_plants import randn, unit_rows

from steersman.control import (
    AffineField,
    ClampLaw,
    Law,
    Within,
    along,
    clamped,
    mirrored,
    offset,
    scaled,
)
from steersman.errors import InputError, ShapeError

BLOCKS, N, ROWS = 3, 7, 6
SEEDS = st.integers(0, 10**6)
AMOUNTS = st.floats(-3, 3)
SETTINGS = settings(max_examples=50, deadline=None, derandomize=True)


def full(value: float) -> torch.Tensor:
    return torch.full((BLOCKS,), value, dtype=torch.float64)


def moved(law: Law, x: torch.Tensor, amount: float = 1.0, block: int = 1) -> torch.Tensor:
    asked = torch.full((len(x), 1), amount, dtype=torch.float64)
    return x + law.step(law.init(len(x)), x, asked, block)[1]


@SETTINGS
@given(SEEDS, AMOUNTS, AMOUNTS, AMOUNTS)
def test_the_projection_becomes_what_the_formula_says(seed, s, a, b):
    v, x = unit_rows(seed, BLOCKS, N), randn(seed + 1, ROWS, N)
    p = x @ v[1]
    for law, expected in (
        (offset(v, full(a)), p + s * a),
        (clamped(v, full(a)), p + s * (a - p)),
        (mirrored(v, full(a)), p + s * 2 * (a - p)),
        (scaled(v, full(b), full(a)), p + s * (b * p + a - p)),
        (along(v, full(a), full(b)), p + s * (a + b * p)),
    ):
        y = moved(law, x, s)
        torch.testing.assert_close(y @ v[1], expected, rtol=1e-12, atol=1e-12)
        beside = (y - x) - ((y - x) @ v[1])[:, None] * v[1]
        assert float(beside.abs().max()) < 1e-12


@SETTINGS
@given(SEEDS, AMOUNTS)
def test_a_clamp_is_idempotent_and_a_mirror_undoes_itself(seed, c):
    v, x = unit_rows(seed, BLOCKS, N), randn(seed + 1, ROWS, N)
    once = moved(clamped(v, full(c)), x)
    torch.testing.assert_close(once @ v[1], full(c)[0].expand(ROWS), rtol=0, atol=1e-13)
    torch.testing.assert_close(moved(clamped(v, full(c)), once), once, rtol=0, atol=1e-13)
    mirror = mirrored(v, full(c))
    torch.testing.assert_close(moved(mirror, moved(mirror, x)), x, rtol=0, atol=1e-13)
    assert not torch.allclose(moved(mirror, x), x)


def test_ablation_is_the_projection_matrix_written_out():
    v, x = unit_rows(0, BLOCKS, N), randn(1, ROWS, N)
    P = torch.eye(N).double() - torch.outer(v[1], v[1])
    torch.testing.assert_close(moved(clamped(v, full(0.0)), x), x @ P)


@pytest.mark.parametrize("make", [offset, clamped, mirrored])
def test_amount_zero_adds_nothing_at_all(make):
    v, x = unit_rows(0, BLOCKS, N).float(), randn(1, ROWS, N).float()
    law = make(v, full(0.7).float())
    _, y = law.added(None, x, torch.zeros(ROWS, 1), 1, x)
    assert torch.equal(y, x) and torch.equal(moved(law, x, 0.0).float(), x)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_states_are_observed_in_the_laws_precision(half):
    v, x = unit_rows(0, BLOCKS, N).float(), randn(1, ROWS, N).to(half)
    law = Within.below(clamped(v, full(0.3).float()), v, full(0.3).float())
    _, u = law.step(None, x, torch.ones(ROWS, 1), 1)
    p = x.float() @ v[1]
    expected = torch.where(p < 0.3, 0.3 - p, 0.0)[:, None] * v[1]
    assert u.dtype == torch.float32
    torch.testing.assert_close(u, expected, rtol=1e-6, atol=1e-6)


@SETTINGS
@given(SEEDS, AMOUNTS)
def test_a_predicate_lets_a_law_act_on_its_side_alone(seed, bound):
    v, w, x = unit_rows(seed, BLOCKS, N), unit_rows(seed + 1, BLOCKS, N), randn(seed + 2, ROWS, N)
    law, q = clamped(v, full(2.0)), x @ w[1]
    everywhere = moved(law, x)
    for gated, holds in (
        (Within.below(law, w, full(bound)), q < bound),
        (Within.above(law, w, full(bound)), q > bound),
        (Within(law, w, full(bound - 1), full(bound)), (q > bound - 1) & (q < bound)),
    ):
        expected = torch.where(holds[:, None], everywhere, x)
        assert torch.equal(moved(gated, x), expected)
        assert gated.holds(x, 1)[:, 0].tolist() == holds.tolist()
        assert gated.reads == "output" and gated.dtype == torch.float64


def test_a_state_on_the_bound_is_left_alone():
    v = torch.eye(N, dtype=torch.float64)[:BLOCKS]
    x = torch.zeros(1, N).double()
    x[0, 1] = 0.5
    for gate in (Within.below, Within.above):
        assert torch.equal(moved(gate(clamped(v, full(3.0)), v, full(0.5)), x), x)


def test_half_spaces_overlap_nowhere_so_a_mirror_never_sends_back():
    v, x = unit_rows(0, BLOCKS, N), randn(1, 200, N)
    law = Within.below(mirrored(v, full(0.2)), v, full(0.2))
    once = moved(law, x)
    assert bool((once @ v[1] >= 0.2 - 1e-12).all())
    torch.testing.assert_close(moved(law, once), once, rtol=0, atol=1e-12)


@SETTINGS
@given(SEEDS, AMOUNTS)
def test_a_clamp_on_one_side_is_the_shortest_way_into_its_half_space(seed, s):
    v, x = unit_rows(seed, BLOCKS, N), randn(seed + 1, ROWS, N)
    p = x @ v[1]
    for side, expected in (("both", full(s)[0].expand(ROWS)), ("below", p.clamp_min(s))):
        y = moved(ClampLaw(v, v, side), x, s)
        torch.testing.assert_close(y @ v[1], expected, rtol=0, atol=1e-13)
        torch.testing.assert_close((y - x).norm(dim=1), (expected - p).abs(), rtol=0, atol=1e-13)
    above = moved(ClampLaw(v, v, "above"), x, s)
    torch.testing.assert_close(above @ v[1], p.clamp_max(s), rtol=0, atol=1e-13)


def test_a_clamp_acts_along_another_vector_where_it_has_one():
    v, other, x = unit_rows(0, BLOCKS, N), randn(1, BLOCKS, N), randn(2, ROWS, N)
    p = other / (other * v).sum(1, keepdim=True)
    y = moved(ClampLaw(v, p), x, 0.4)
    torch.testing.assert_close(y @ v[1], full(0.4)[0].expand(ROWS))
    torch.testing.assert_close(y - x, (0.4 - x @ v[1])[:, None] * p[1])


def test_the_probe_says_the_probability_that_was_asked_for():
    w, b, wanted = 3 * randn(0, N), -0.4, 0.9
    x = randn(1, ROWS, N)
    v = (w / w.norm()).expand(BLOCKS, -1).contiguous()
    setpoint = full((log(wanted / (1 - wanted)) - b) / float(w.norm()))
    y = moved(Within.below(clamped(v, setpoint), v, setpoint), x)
    before, after = torch.sigmoid(x @ w + b), torch.sigmoid(y @ w + b)
    torch.testing.assert_close(after, before.clamp_min(wanted), rtol=0, atol=1e-12)


def test_blocks_without_a_direction_do_not_act():
    v = unit_rows(0, BLOCKS, N)
    v[1] = 0
    gated = Within.below(offset(v, full(1.0)), v, full(9.0))
    laws: list[Law] = [mirrored(v, full(0.2)), ClampLaw(v, v), gated]
    for law in laws:
        assert [law.is_active(t) for t in (-1, 0, 1, 2, 3)] == [False, True, False, True, False]


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused():
    v, law = unit_rows(0, BLOCKS, N), clamped(unit_rows(0, BLOCKS, N), full(0.0))
    with pytest.raises(ShapeError, match="expected"):
        Within(law, v[:, :-1], full(0.0), full(1.0))
    with pytest.raises(ShapeError, match="high has shape"):
        Within(law, v, full(0.0), full(1.0)[:-1])
    with pytest.raises(InputError, match="low is not a number"):
        Within(law, v, full(float("nan")), full(1.0))
    with pytest.raises(InputError, match="side is 'left'"):
        ClampLaw(v, v, "left")
    with pytest.raises(InputError, match="control is computed in float32"):
        ClampLaw(v.half(), v.half())


def test_a_wrapped_law_moves_with_its_predicate():
    v = unit_rows(0, BLOCKS, N)
    law = Within.below(clamped(v, full(0.0)), v, full(1.0)).to("cpu")
    assert isinstance(law.law, AffineField) and law.k == 1 and law.n == N
    assert law.held_back(None) is None
