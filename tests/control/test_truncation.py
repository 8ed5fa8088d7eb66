"""Truncation keeps what matters most and says what it left out."""

import pytest
import torch
from feature_problems import near
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_plants import randn

from steersman.control.truncation import truncate

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)


@SETTINGS
@given(st.integers(0, 1000), st.integers(1, 8), st.integers(1, 12), st.integers(1, 12))
def test_what_is_left_out_is_the_next_singular_value(seed, n, m, rank):
    W = randn(seed, n, m)
    found = truncate(W, rank)
    kept = min(rank, n, m)
    left_out = W @ W.mT - found.W @ found.W.mT
    sizes = torch.linalg.svdvals(W)
    assert found.W.shape == (n, kept)
    assert near(found.discarded, sizes[kept] if kept < len(sizes) else 0.0)
    assert torch.allclose(
        torch.linalg.matrix_norm(left_out, 2), torch.tensor(found.discarded**2).double(), atol=1e-12
    )
    assert float(torch.linalg.eigvalsh(left_out).min()) >= -1e-12
    if found.basis is not None:
        assert near(found.basis.mT @ found.basis, torch.eye(kept))
        assert near(W @ found.basis, found.W)


@pytest.mark.parametrize("m", [0, 1, 3])
def test_a_factor_that_fits_is_left_as_it_is(m):
    W = randn(0, 5, m)
    found = truncate(W, 3)
    assert found.W is W
    assert (found.basis, found.discarded) == (None, 0.0)


def test_rounding_is_not_counted_as_left_out():
    W = randn(0, 50, 2) @ randn(1, 2, 9)
    assert truncate(W, 2).discarded == 0.0
    assert truncate(W.float(), 2).discarded == 0.0
    assert truncate(W, 1).discarded == pytest.approx(float(torch.linalg.svdvals(W)[1]))
