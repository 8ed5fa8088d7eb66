"""A soft gate against numpy, and its two ends against hard gates."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from toy_plants import randn

from steersman.control import AffineLaw, Softly, Within, clamped
from steersman.errors import NumericalError, ShapeError

BLOCKS, N, ROWS = 3, 6, 5
ONE = torch.ones(ROWS, 1, dtype=torch.float64)


def test_it_adds_the_probability_times_what_the_law_adds() -> None:
    w, b, push = randn(0, BLOCKS, N), randn(1, BLOCKS), randn(2, BLOCKS, N)
    x = randn(3, ROWS, N)
    law = Softly(AffineLaw.schedule(push), w, b)
    for block in range(BLOCKS):
        found = law.step(None, x, 2 * ONE, block)[1].numpy()
        p = expit(x.numpy() @ w[block].numpy() + b[block].item())
        np.testing.assert_allclose(found, p[:, None] * 2 * push[block].numpy(), rtol=1e-12)


def test_a_sharp_probe_is_a_hard_gate() -> None:
    v = torch.nn.functional.normalize(randn(4, BLOCKS, N), dim=1)
    w, b, x = randn(5, BLOCKS, N), randn(6, BLOCKS), randn(7, ROWS, N)
    law = clamped(v, torch.zeros(BLOCKS, dtype=torch.float64))
    soft, hard = Softly(law, 1e9 * w, 1e9 * b), Within.above(law, w, -b)
    assert soft.reads == "output"
    opened = 0
    for block in range(BLOCKS):
        found, expected = (one.step(None, x, ONE, block)[1] for one in (soft, hard))
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
        opened += int(expected.any(dim=1).sum())
    assert 0 < opened < BLOCKS * ROWS


@pytest.mark.parametrize(("sign", "share"), [(1, 1.0), (-1, 0.0)])
def test_a_certain_probe_is_the_law_itself_or_nothing(sign: int, share: float) -> None:
    push, x = randn(8, BLOCKS, N), randn(9, ROWS, N)
    law = AffineLaw.schedule(push)
    soft = Softly(law, torch.zeros_like(push), torch.full((BLOCKS,), 1e4 * sign).double())
    assert soft.known(ONE.expand(BLOCKS, -1, -1)) is None  # it depends on the state
    found = soft.step(None, x, ONE, 1)[1]
    assert torch.equal(found, share * law.step(None, x, ONE, 1)[1])
    assert torch.equal(soft.added(None, x, 0 * ONE, 1, x)[1], x)


@pytest.mark.usefixtures("unchecked")
def test_a_probe_that_does_not_fit_is_refused() -> None:
    law = AffineLaw.schedule(randn(0, BLOCKS, N))
    with pytest.raises(ShapeError, match="w has shape"):
        Softly(law, randn(0, BLOCKS, N + 1), randn(0, BLOCKS))
    with pytest.raises(NumericalError, match="b "):
        Softly(law, randn(0, BLOCKS, N), torch.full((BLOCKS,), torch.inf).double())
