"""Spectral similarity against root fidelity, and chance against integrals and draws."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import beta
from torch import Tensor

from steersman.control import (
    chance_similarity,
    drawn_similarity,
    leading,
    random_corners,
    similarities,
)
from steersman.errors import InputError, NumericalError

N, RANK = 12, 4


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(n: int, seed: int = 0) -> Tensor:
    return torch.linalg.qr(drawn(n, n, seed=seed))[0]


def similarity(first: Tensor, second: Tensor) -> float:
    return float(similarities(torch.stack([first, second]))[0, 1])


def square_root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T


def test_the_leading_part_holds_all_values_and_the_first_vectors() -> None:
    matrix = drawn(N, N)
    values, subspace = leading(matrix, RANK)
    torch.testing.assert_close(values, torch.linalg.svdvals(matrix))
    torch.testing.assert_close(subspace.T @ subspace, torch.diag(values[:RANK].square()))
    # M M' U = U diag(s)^2, column by column.
    torch.testing.assert_close(matrix @ matrix.T @ subspace, subspace * values[:RANK].square())


def test_a_matrix_is_like_itself_and_its_multiples() -> None:
    subspace = leading(drawn(N, N), RANK).subspace
    assert similarity(subspace, subspace) == pytest.approx(1)
    assert similarity(subspace, -3 * subspace) == pytest.approx(1)


def test_how_the_columns_are_turned_within_the_subspace_does_not_matter() -> None:
    subspace = drawn(N, RANK)
    assert similarity(subspace, subspace @ rotation(RANK)) == pytest.approx(1)


def test_orthogonal_subspaces_are_not_alike() -> None:
    basis = rotation(N)
    assert similarity(basis[:, :RANK], basis[:, RANK : 2 * RANK]) == pytest.approx(0, abs=1e-12)


def test_half_a_common_subspace_makes_flat_spectra_half_alike() -> None:
    basis = rotation(N)
    assert similarity(basis[:, :4], basis[:, 2:6]) == pytest.approx(0.5)


@given(st.integers(1, N), st.integers(0, 10**6))
def test_similarity_is_root_fidelity(rank: int, seed: int) -> None:
    first, second = drawn(N, rank, seed=seed), drawn(N, rank, seed=seed + 1)
    rho, sigma = ((m @ m.T / m.square().sum()).numpy() for m in (first, second))
    root = square_root(rho)
    expected = float(np.trace(square_root(root @ sigma @ root)))
    found = similarity(first, second)
    assert found == pytest.approx(expected, abs=1e-6)
    assert 0 <= found <= 1 + 1e-12


def test_every_two_are_compared_in_both_orders() -> None:
    found = similarities(drawn(5, N, RANK))
    torch.testing.assert_close(found, found.T)
    torch.testing.assert_close(found.diagonal(), torch.ones(5, dtype=torch.float64))


def test_nothing_is_like_a_matrix_that_is_zero() -> None:
    found = similarities(torch.stack([drawn(N, RANK), torch.zeros(N, RANK, dtype=torch.float64)]))
    assert found[0, 0] == pytest.approx(1)
    assert bool(found[:, 1].isnan().all())


@pytest.mark.parametrize("n", [1, 2, 3, 10, 500])
def test_chance_of_two_lines_is_the_mean_cosine_between_them(n: int) -> None:
    if n == 1:
        assert chance_similarity(1, 1) == 1
        return
    # cos^2 of the angle between two random lines is Beta(1/2, (n - 1)/2).
    a, b = 0.5, (n - 1) / 2
    mean = beta(a + 0.5, b) / beta(a, b)
    assert chance_similarity(n, 1) == pytest.approx(mean)


@pytest.mark.parametrize(("n", "rank"), [(100, 2), (100, 20), (100, 50), (1000, 50)])
def test_chance_is_the_integral_of_its_limiting_density(n: int, rank: int) -> None:
    c = rank / n
    b = 4 * c * (1 - c)

    def weighted(y: float) -> float:
        return float(np.sqrt(y) * np.sqrt((b - y) * y) / (2 * np.pi * c * y * (1 - y)))

    assert chance_similarity(n, rank) == pytest.approx(quad(weighted, 0, b)[0], rel=1e-6)


@pytest.mark.parametrize(("n", "rank"), [(20, 2), (20, 5), (20, 10), (20, 15), (64, 3), (100, 30)])
def test_chance_in_closed_form_agrees_with_draws(n: int, rank: int) -> None:
    corners = random_corners(n, rank, 400, torch.Generator().manual_seed(0))
    flat = torch.ones(400, rank, dtype=torch.float64)
    found = drawn_similarity(flat, flat, corners)
    error = float(found.std()) / 20
    expected = chance_similarity(n, rank)
    # The limit is above the finite size by a share of about 0.1 / r.
    assert -4 * error < expected - float(found.mean()) < 4 * error + 0.12 * expected / rank


@pytest.mark.parametrize(("n", "rank"), [(20, 1), (400, 1), (30, 30)])
def test_chance_that_is_exact_agrees_with_draws(n: int, rank: int) -> None:
    corners = random_corners(n, rank, 2000, torch.Generator().manual_seed(1))
    flat = torch.ones(2000, rank, dtype=torch.float64)
    found = drawn_similarity(flat, flat, corners)
    error = float(found.std()) / 2000**0.5
    assert float(found.mean()) == pytest.approx(chance_similarity(n, rank), abs=4 * error + 1e-9)


def test_chance_rises_with_the_rank() -> None:
    found = [chance_similarity(40, rank) for rank in range(1, 41)]
    assert found == sorted(found)
    assert found[-1] == 1


def test_a_drawn_similarity_is_that_of_turned_subspaces() -> None:
    s, t = drawn(1, RANK, seed=1).abs(), drawn(1, RANK, seed=2).abs()
    turned = rotation(N, seed=3)
    first = torch.eye(N, dtype=torch.float64)[:, :RANK] * s
    found = drawn_similarity(s, t, turned[None, :RANK, :RANK])
    assert float(found[0]) == pytest.approx(similarity(first, turned[:, :RANK] * t))


def test_the_mean_square_of_a_drawn_similarity_has_the_bounds_that_are_known() -> None:
    draws = 3000
    corners = random_corners(N, RANK, draws, torch.Generator().manual_seed(2))
    falling = torch.tensor([9.0, 3.0, 1.0, 0.1], dtype=torch.float64).expand(draws, -1)
    square = drawn_similarity(falling, falling, corners).square()
    error = 4 * float(square.std()) / draws**0.5
    assert 1 / N - error < float(square.mean()) < RANK / N + error
    # The Frobenius norm in place of the nuclear one has the mean 1/n exactly.
    turned = falling.unsqueeze(-1) * corners * falling.unsqueeze(-2)
    share = turned.square().sum(dim=(1, 2)) / falling[0].square().sum().square()
    assert float(share.mean()) == pytest.approx(1 / N, abs=4 * float(share.std()) / draws**0.5)


def test_the_same_generator_gives_the_same_corners() -> None:
    first, second = (random_corners(N, 2, 3, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("rank", [0, -1, N + 1])
def test_a_rank_has_to_be_within_the_width(rank: int) -> None:
    with pytest.raises(InputError, match="rank"):
        leading(drawn(N, N), rank)
    with pytest.raises(InputError, match="rank"):
        chance_similarity(N, rank)
    with pytest.raises(InputError, match="rank"):
        random_corners(N, rank, 1, torch.Generator())


def test_no_draw_is_no_baseline() -> None:
    with pytest.raises(InputError, match="draws"):
        random_corners(N, RANK, 0, torch.Generator())


def test_a_matrix_has_to_be_finite_and_in_full_precision() -> None:
    broken = drawn(N, N)
    broken[2, 3] = torch.inf
    with pytest.raises(NumericalError):
        leading(broken, RANK)
    with pytest.raises(InputError, match="float16"):
        leading(drawn(N, N).half(), RANK)
