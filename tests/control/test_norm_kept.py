"""A law whose states keep their length, against numpy."""

import numpy as np
import pytest
import torch
from torch import Tensor
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
    nowhere = torch.stack([-push[1], torch.zeros(N)])
    assert not law.step(None, nowhere[:1], torch.ones(1, 1), 1)[1].any()
    stays = nowhere + law.step(None, nowhere, torch.ones(2, 1), 1)[1]
    torch.testing.assert_close(stays, nowhere)


def test_a_length_is_a_rows_own_over_six_orders_of_magnitude() -> None:
    push, x = randn(0, BLOCKS, N), randn(1, 30, N) * torch.logspace(-3, 3, 30).double()[:, None]
    law = NormKept(offset(push, torch.ones(BLOCKS).double()))

    def turned(x: Tensor) -> Tensor:
        return x + law.step(None, x, torch.full((len(x), 1), -2.0).double(), 1)[1]

    torch.testing.assert_close(turned(x).norm(dim=1), x.norm(dim=1))
    alone = torch.cat([turned(one[None]) for one in x])
    torch.testing.assert_close(turned(x), alone, rtol=1e-14, atol=1e-14)


def test_more_and_more_of_a_push_comes_to_its_direction() -> None:
    push, x = randn(0, BLOCKS, N), randn(1, ROWS, N)
    law = NormKept(offset(push, torch.ones(BLOCKS).double()))
    far = x + law.step(None, x, torch.full((ROWS, 1), 1e9).double(), 2)[1]
    v = push[2] / push[2].norm()
    torch.testing.assert_close(far, x.norm(dim=1, keepdim=True) * v)


def test_it_acts_where_its_law_acts() -> None:
    push = torch.zeros(BLOCKS, N)
    push[1] = 1.0
    law = NormKept(offset(push, torch.ones(BLOCKS)))
    assert [law.is_active(block) for block in range(BLOCKS)] == [False, True, False]


def test_a_law_that_reads_what_enters_a_block_is_refused() -> None:
    with pytest.raises(InputError, match="reads what\\s+enters it"):
        NormKept(AffineLaw.schedule(randn(0, BLOCKS, N)))
