"""The shrunk covariance: by scikit-learn and dense algebra, and what it refuses."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import LedoitWolf
from torch import Tensor

from steersman.directions import shrunk_covariance
from steersman.errors import InputError, NumericalError


def states(rows: int, n: int, seed: int = 0) -> Tensor:
    """Centred rows that vary much more along some axes than along others."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, n, generator=generator, dtype=torch.float64)
    x = x * torch.linspace(3, 0.1, n, dtype=torch.float64)
    return x - x.mean(0)


SIZES = [(12, 40), (40, 12), (30, 30), (2, 5)]


@pytest.mark.parametrize(("rows", "n"), SIZES)
def test_the_shrinkage_is_that_of_scikit_learn(rows: int, n: int) -> None:
    x = states(rows, n)
    expected = LedoitWolf(assume_centered=True).fit(x.numpy()).shrinkage_
    assert shrunk_covariance(x).shrinkage == pytest.approx(expected, rel=1e-10, abs=1e-14)


@pytest.mark.parametrize(("rows", "n"), SIZES[:3])
@pytest.mark.parametrize("shrinkage", [None, 0.3, 1.0])
def test_it_solves_and_measures_like_the_dense_matrix(
    rows: int, n: int, shrinkage: float | None
) -> None:
    x, given = states(rows, n), states(4, n, seed=1)
    found = shrunk_covariance(x, shrinkage)
    S = x.numpy().T @ x.numpy() / rows
    d = found.shrinkage
    dense = (1 - d) * S + d * np.trace(S) / n * np.eye(n)
    expected = np.linalg.solve(dense, given.numpy().T).T
    np.testing.assert_allclose(found.solve(given), expected, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(found.distances(given), (expected * given.numpy()).sum(1), rtol=1e-9)
    assert found.mean_variance == pytest.approx(np.trace(S) / n, rel=1e-12)


@pytest.mark.parametrize(("rows", "n"), SIZES[:3])
def test_its_leading_factor_is_the_best_of_its_rank(rows: int, n: int) -> None:
    x = states(rows, n)
    found = shrunk_covariance(x, 0.2)
    S = 0.8 * x.numpy().T @ x.numpy() / rows
    values, vectors = np.linalg.eigh(S)
    values, vectors = values[::-1][:3] + found.floor, vectors[:, ::-1][:, :3]
    B = found.leading(1.0, 3).numpy()
    np.testing.assert_allclose(B @ B.T, (vectors * values) @ vectors.T, atol=1e-10)


def test_as_many_directions_are_kept_as_hold_the_share() -> None:
    x = torch.diag(torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=torch.float64).sqrt())
    found = shrunk_covariance(x, 0.0)
    shares = {8 / 15: 1, 0.6: 2, 12 / 15: 2, 0.81: 3, 1.0: 4}
    for share, kept in shares.items():
        assert found.leading(share, 9).shape == (4, kept)
    assert found.leading(1.0, 2).shape == (4, 2)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.floats(1e-3, 1e3), st.integers(0, 9))
def test_the_unit_of_the_states_does_not_matter(rows: int, n: int, scale: float, seed: int) -> None:
    x, given = states(rows, n, seed), states(3, n, seed + 1)
    here, there = shrunk_covariance(x, 0.5), shrunk_covariance(scale * x, 0.5)
    torch.testing.assert_close(there.distances(scale * given), here.distances(given))
    free = shrunk_covariance(x).shrinkage
    assert shrunk_covariance(scale * x).shrinkage == pytest.approx(free, abs=1e-9)
    assert 0 <= free <= 1


def test_a_singular_covariance_is_refused_where_it_has_to_be_inverted() -> None:
    found = shrunk_covariance(states(3, 8), 0.0)
    assert found.leading(1.0, 8).shape[1] == 2
    with pytest.raises(NumericalError, match="vary in 2 of 8 directions.*shrinkage above zero"):
        found.solve(states(2, 8))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="do not vary at all"):
        shrunk_covariance(torch.zeros(4, 3))
    for shrinkage in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="between 0 and 1"):
            shrunk_covariance(states(4, 3), shrinkage)
    for share, most in ((0.0, 1), (1.1, 1), (0.5, 0)):
        with pytest.raises(InputError, match="0 < share <= 1, most >= 1"):
            shrunk_covariance(states(4, 3)).leading(share, most)
