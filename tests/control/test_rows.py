"""A law for each row is that row's law alone."""

import pytest
import torch
from toy_plants import randn

from steersman.control import AffineLaw, RowsLaw, Units
from steersman.errors import NumericalError, ShapeError

ROWS, BLOCKS, N, TOKENS = 3, 4, 6, 5


@pytest.mark.parametrize("k", [1, 2])
def test_every_row_is_steered_by_its_own_law(k):
    H, G = randn(0, ROWS, BLOCKS, N, k), randn(1, ROWS, BLOCKS, N, k)
    x, s = randn(2, ROWS, TOKENS, N), randn(3, ROWS, TOKENS, k)
    law = RowsLaw(H, G)
    for block in range(BLOCKS):
        _, u = law.step(None, x.reshape(-1, N), s.reshape(-1, k), block)
        for row in range(ROWS):
            alone = AffineLaw(H[row], G[row])
            _, expected = alone.step(None, x[row], s[row], block)
            torch.testing.assert_close(u.view(ROWS, TOKENS, N)[row], expected)
            observed = law.observe(x.reshape(-1, N), block).view(ROWS, TOKENS, k)[row]
            torch.testing.assert_close(observed, alone.observe(x[row], block))


def test_a_schedule_adds_its_inputs_whatever_the_state():
    inputs = randn(0, ROWS, BLOCKS, N)
    inputs[:, 2] = 0.0
    law = RowsLaw.schedule(inputs)
    x, s = randn(1, ROWS * TOKENS, N), 0.5 * torch.ones(ROWS * TOKENS, 1).double()
    for block in range(BLOCKS):
        _, u = law.step(None, x, s, block)
        expected = 0.5 * inputs[:, block].repeat_interleave(TOKENS, 0)
        torch.testing.assert_close(u, expected)
        assert law.is_active(block) == (block != 2)


def test_rows_that_do_not_fit_are_refused():
    law = RowsLaw.schedule(randn(0, ROWS, BLOCKS, N))
    law.init(2 * ROWS)
    with pytest.raises(ShapeError, match="7 rows"):
        law.init(7)


def test_tensors_that_are_no_laws_are_refused():
    with pytest.raises(NumericalError):
        RowsLaw.schedule(torch.full((ROWS, BLOCKS, N), torch.nan))


@pytest.mark.usefixtures("unchecked")
def test_tensors_of_other_shapes_are_refused():
    with pytest.raises(ShapeError, match="expected both"):
        RowsLaw(randn(0, ROWS, BLOCKS, N, 1), randn(0, ROWS, BLOCKS, N, 2))


def test_units_of_each_row_go_with_its_tokens():
    norm = randn(0, BLOCKS, ROWS, 2, 1)
    units = Units.shifts(norm).repeated(TOKENS)
    assert units.norm.shape == (BLOCKS, ROWS * TOKENS, 2, 1)
    torch.testing.assert_close(units.norm[:, TOKENS - 1], norm[:, 0])
    torch.testing.assert_close(units.norm[:, TOKENS], norm[:, 1])
    shared = Units.shifts(norm[:, 0])
    assert shared.repeated(TOKENS) is shared
