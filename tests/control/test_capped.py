"""A cap on the effort of any law: never longer, untouched below, each row for itself."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_plants import randn, unit_rows

from steersman.control import AffineField, AffineLaw, AngularLaw, Capped, Law, PIDLaw, RowsLaw
from steersman.errors import InputError

BLOCKS, N, ROWS = 4, 6, 5
SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)
LAWS = {
    "affine": lambda seed: AffineLaw(randn(seed, BLOCKS, N, 2), randn(seed + 1, BLOCKS, N, 2)),
    "schedule": lambda seed: AffineLaw.schedule(randn(seed, BLOCKS, N)),
    "pid": lambda seed: PIDLaw(unit_rows(seed, BLOCKS, N), 0.4, 0.2, 0.3),
    "angular": lambda seed: AngularLaw(torch.linalg.qr(randn(seed, BLOCKS, N, 2))[0]),
    "field": lambda seed: AffineField(
        randn(seed, BLOCKS, N, 2), randn(seed + 1, BLOCKS, N, 2), randn(seed + 2, BLOCKS, 2)
    ),
    "rows": lambda seed: RowsLaw(
        randn(seed, ROWS, BLOCKS, N, 1), randn(seed + 1, ROWS, BLOCKS, N, 1)
    ),
}
NAMES = st.sampled_from(sorted(LAWS))
CAPS = st.floats(-3, 1).map(lambda power: 10.0**power)


def run(law: Law[Any], x: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    """Inputs at states that are given, `(blocks, rows, n)`."""
    state, found = law.init(x.shape[1]), []
    for block in range(BLOCKS):
        state, u = law.step(state, x[block], s[block], block)
        found.append(u)
    return torch.stack(found)


def given_states(law: Law[Any], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    return randn(seed + 7, BLOCKS, ROWS, N), randn(seed + 8, BLOCKS, ROWS, law.k)


@SETTINGS
@given(NAMES, st.integers(0, 10**6), CAPS)
def test_no_input_is_longer_than_its_cap_and_a_shorter_one_is_the_same_bits(name, seed, cap):
    law = LAWS[name](seed)
    x, s = given_states(law, seed)
    wanted, got = run(law, x, s), run(Capped(law, cap), x, s)
    most = cap * x.norm(dim=-1)
    assert (got.norm(dim=-1) <= most * (1 + 1e-14)).all()
    within = wanted.norm(dim=-1) <= most
    assert torch.equal(got[within], wanted[within])


@SETTINGS
@given(NAMES, st.integers(0, 10**6), CAPS)
def test_a_longer_input_keeps_its_direction_and_is_as_long_as_it_may_be(name, seed, cap):
    law = LAWS[name](seed)
    x, s = given_states(law, seed)
    wanted, got = run(law, x, s), run(Capped(law, cap), x, s)
    most = cap * x.norm(dim=-1)
    beyond = wanted.norm(dim=-1) > most
    nearest = wanted / wanted.norm(dim=-1, keepdim=True) * most[..., None]
    torch.testing.assert_close(got[beyond], nearest[beyond], rtol=1e-12, atol=1e-14)


@SETTINGS
@given(NAMES.filter(lambda name: name != "rows"), st.integers(0, 10**6), CAPS)
def test_rows_do_not_touch_each_other(name, seed, cap):
    law = Capped(LAWS[name](seed), cap)
    x, s = given_states(law, seed)
    together = run(law, x, s)
    for row in range(ROWS):
        torch.testing.assert_close(run(law, x[:, [row]], s[:, [row]])[:, 0], together[:, row])


@pytest.mark.parametrize("name", sorted(LAWS))
def test_nothing_is_added_to_a_state_of_zero(name):
    law = Capped(LAWS[name](0), 0.1)
    x, s = torch.zeros(BLOCKS, ROWS, N).double(), randn(1, BLOCKS, ROWS, law.k)
    assert torch.equal(run(law, x, s), torch.zeros_like(x))


def test_an_input_of_zero_stays_zero():
    law = Capped(LAWS["affine"](0), 0.1)
    x = randn(1, BLOCKS, ROWS, N)
    s = torch.stack([law.observe(x[block], block) for block in range(BLOCKS)])
    assert torch.equal(run(law, x, s), torch.zeros_like(x))


def test_it_is_the_law_in_everything_else():
    inner = AffineLaw(randn(0, BLOCKS, N, 2), randn(1, BLOCKS, N, 2), active=(1,))
    law = Capped(inner, 0.1).to("cpu")
    assert (law.blocks, law.n, law.k, law.dtype, law.cap) == (BLOCKS, N, 2, torch.float64, 0.1)
    assert [law.is_active(block) for block in range(BLOCKS)] == [False, True, False, False]
    x = randn(2, 3, N)
    assert torch.equal(law.observe(x, 1), inner.observe(x, 1))


def test_a_long_state_in_half_precision_does_not_overflow():
    law = Capped(AffineLaw.schedule(randn(0, BLOCKS, N).float()), 0.1)
    x = torch.full((1, N), 6e4).half()
    _, u = law.step(law.init(1), x, torch.full((1, 1), 1e6), 0)
    torch.testing.assert_close(u.norm(), 0.1 * x.float().norm())


def test_the_rows_that_it_held_back_are_known_block_by_block():
    law = Capped(AffineLaw.schedule(randn(0, BLOCKS, N), active=(0, 1, 3)), 1.0)
    x, state = torch.ones(2, N).double(), law.init(2)
    for block, asked in enumerate(([0.1, 9.0], [9.0, -9.0], [9.0, 9.0], [0.0, 0.1])):
        before = law.held_back(state)
        state, u = law.step(state, x, torch.tensor(asked).double()[:, None], block)
        short = u.norm(dim=1) >= x.norm(dim=1) * (1 - 1e-12)
        # Where the law does not act nothing was asked for, and the last answer stands.
        assert torch.equal(law.held_back(state), short if law.is_active(block) else before)


def test_what_the_law_holds_back_by_itself_counts_too():
    inner = PIDLaw(unit_rows(0, BLOCKS, N), 1.0, cap=0.1)
    for law in (inner, Capped(inner, 10.0)):
        asked = torch.tensor([[0.1], [9.0]]).double()
        state, _ = law.step(law.init(2), torch.ones(2, N).double(), asked, 0)
        error = torch.tensor([0.1, 9.0]) - float(inner.v[0].sum())
        assert law.held_back(state).tolist() == (error.abs() > 0.1 * N**0.5).tolist()
    free = PIDLaw(unit_rows(0, BLOCKS, N), 1.0)
    assert free.held_back(free.init(2)) is None


@pytest.mark.parametrize("cap", [0.0, -1.0, float("nan"), float("inf")])
def test_a_cap_that_cannot_be_is_refused(cap):
    with pytest.raises(InputError, match="cap is .*; it must be finite and above zero"):
        Capped(LAWS["affine"](0), cap)
