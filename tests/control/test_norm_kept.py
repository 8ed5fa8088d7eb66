"""A law whose states keep their length, against numpy."""

import numpy as np
import pytest
import torch
from toy_plants import randn

from steersman.control import AffineLaw, NormKept, offset
from steersman.errors import InputError

BLOCKS, N, ROWS = 3, 6, 5


def test_the_state_is_moved_and_made_as_long_as_it_was() -> None:
    push, x = randn(0, BLOCKS, N), randn(1, ROWS, N)
    law = NormKept(offset(push, torch.ones(BLOCKS).double()))
    asked = torch.full((ROWS, 1), 1.7, dtype=torch.float64)
    found = (x + law.step(None, x, asked, 2)[1]).numpy()
    moved = x.numpy() + 1.7 * push[2].numpy()
    lengths = [np.linalg.norm(one, axis=1, keepdims=True) for one in (x.numpy(), moved)]
    np.testing.assert_allclose(found, moved * lengths[0] / lengths[1], rtol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), lengths[0][:, 0], rtol=1e-12)


def test_nothing_asked_leaves_every_bit_and_a_state_that_would_vanish_stays() -> None:
    push = randn(2, BLOCKS, N).float()
    law, x = NormKept(offset(push, torch.ones(BLOCKS))), randn(3, ROWS, N).float()
    assert torch.equal(law.added(None, x, torch.zeros(ROWS, 1), 1, x)[1], x)
    opposite = -push[1].expand(ROWS, -1)
    assert not law.step(None, opposite, torch.ones(ROWS, 1), 1)[1].any()


def test_a_law_that_reads_what_enters_a_block_is_refused() -> None:
    with pytest.raises(InputError, match="reads what\\s+enters it"):
        NormKept(AffineLaw.schedule(randn(0, BLOCKS, N)))
