"""The shift between two contexts as a function of the state: by scikit-learn, and out of sample."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from steersman.directions import Choice, choose, conditional_shift, plainest
from steersman.errors import InputError

N, ROWS = 12, 60


def randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def world(noise: float = 0.0, rank: int = 2, rows: int = ROWS) -> tuple[Tensor, Tensor]:
    """States, and shifts that are an affine map of low rank of them."""
    x = randn(0, rows, N) + 3 * randn(1, N)
    M = randn(2, N, rank) @ randn(3, rank, N) / N**0.5
    return x, x @ M + randn(4, N) + noise * randn(5, rows, N)


def ridge_of(x: Tensor, ridge: float) -> float:
    """Our ridge in scikit-learn's units."""
    return ridge * float((x - x.mean(0)).square().sum()) / len(x)


@pytest.mark.parametrize("ridge", [1e-3, 0.1, 3.0])
def test_at_full_rank_it_is_ridge_regression(ridge: float) -> None:
    x, shift = world(noise=0.5)
    found = conditional_shift(x, shift, N, ridge)
    new = randn(9, 7, N)
    expected = Ridge(alpha=ridge_of(x, ridge)).fit(x.numpy(), shift.numpy()).predict(new.numpy())
    np.testing.assert_allclose(found(new), expected, rtol=1e-8, atol=1e-8)


def test_of_lower_rank_it_is_the_ridge_fit_projected_on_its_leading_directions() -> None:
    x, shift = world(noise=0.5, rank=6)
    model = Ridge(alpha=ridge_of(x, 0.1)).fit(x.numpy(), shift.numpy())
    fitted = model.predict(x.numpy()) - shift.numpy().mean(0)
    _, _, V = np.linalg.svd(fitted, full_matrices=False)
    new = randn(9, 7, N)
    whole = model.predict(new.numpy()) - shift.numpy().mean(0)
    expected = shift.numpy().mean(0) + whole @ V[:3].T @ V[:3]
    np.testing.assert_allclose(conditional_shift(x, shift, 3, 0.1)(new), expected, atol=1e-8)


def test_the_tensors_are_the_map() -> None:
    x, shift = world(noise=0.1)
    found = conditional_shift(x, shift, 2, 1e-3)
    assert found.H.shape == found.G.shape == (N, 3)
    torch.testing.assert_close(found(x), (found.o + x @ found.H) @ found.G.mT)
    assert not found.H[:, -1].any() and found.o.tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("rows", [6, 200])
def test_more_states_than_dimensions_or_fewer_make_no_difference_in_kind(rows: int) -> None:
    x, shift = world(rows=rows)
    found = conditional_shift(x, shift, N, 1e-9)
    torch.testing.assert_close(found(x), shift, rtol=1e-4, atol=1e-4)


def test_rank_and_share_are_those_of_the_world() -> None:
    x, shift = world(noise=0.05, rank=2, rows=200)
    found = choose(x, shift, torch.arange(200))
    assert found.rank in (2, 4)
    assert found.explained > 0.98
    assert found.by_mean < 0.9


def test_the_share_is_that_of_pairs_left_out() -> None:
    x = randn(0, 40, N)
    shift = randn(1, 40, N)  # has nothing to do with the state, and no mean
    assert choose(x, shift, torch.arange(40)).explained < 0.1
    # What five groups say alike is seen in some of them; in one group it is left out together.
    often, again = x[:10].repeat(5, 1), shift[:10].repeat(5, 1)
    alike = choose(often, again, torch.arange(10).repeat(5), ranks=(N,), ridges=(1e-3,))
    leaked = choose(often, again, torch.arange(50), ranks=(N,), ridges=(1e-3,))
    assert alike.explained < 0.1 and leaked.explained > 0.9


def test_what_only_the_continuation_tells_counts_for_nothing_on_others() -> None:
    # Every context with every continuation; the shift is the continuation's own, at random.
    context, text = torch.arange(12).repeat_interleave(10), torch.arange(10).repeat(12)
    x = randn(0, 12, N)[context] + 3 * randn(1, 10, N)[text]
    shift = randn(2, 10, N)[text]
    by_pair = choose(x, shift, torch.arange(120))
    by_context = choose(x, shift, context)
    by_both = choose(x, shift, context, text)
    assert by_pair.explained > 0.9 and by_context.explained > 0.5
    assert by_both.explained < 0.1


def test_a_shift_of_one_for_all_is_the_mean() -> None:
    x = randn(0, 40, N)
    shift = randn(1, N).expand(40, N)
    found = choose(x, shift, torch.arange(40))
    assert found.by_mean == pytest.approx(1.0)
    torch.testing.assert_close(conditional_shift(x, shift, 4, 0.1)(x), shift)


def test_states_that_are_all_the_same_teach_the_mean() -> None:
    x, shift = randn(0, N).expand(20, N), randn(1, 20, N)
    found = conditional_shift(x, shift, 4, 0.1)
    torch.testing.assert_close(found(x[:1])[0], shift.mean(0))


def test_choices_that_cannot_be_are_refused() -> None:
    x, shift = world()
    with pytest.raises(InputError, match="3 pairs cannot be left out in 5 parts"):
        choose(x[:6], shift[:6], torch.arange(3).repeat(2))
    for rank, ridge in ((0, 0.1), (1, 0.0), (1, float("nan"))):
        with pytest.raises(InputError, match=f"rank is {rank}"):
            conditional_shift(x, shift, rank, ridge)


@pytest.mark.parametrize("rows", [ROWS, 200])
def test_the_dual_and_the_primal_are_one_regression(rows: int) -> None:
    """A turn into a wider space changes no inner product, and makes the states the wider side."""
    x, shift = world(noise=0.5, rank=6, rows=rows)
    turn = torch.linalg.qr(randn(11, rows + 20, N)).Q
    wide = (x @ turn.mT, shift @ turn.mT)
    new = randn(9, 7, N)
    for rank, ridge in ((1, 1e-3), (3, 0.1), (N, 1.0)):
        primal = conditional_shift(x, shift, rank, ridge)(new)
        dual = conditional_shift(*wide, rank, ridge)(new @ turn.mT)
        torch.testing.assert_close(dual, primal @ turn.mT, rtol=1e-8, atol=1e-8)
    group = torch.arange(rows) // 4
    chosen, same = choose(x, shift, group), choose(*wide, group)
    assert (chosen.rank, chosen.ridge) == (same.rank, same.ridge)
    assert chosen.explained == pytest.approx(same.explained, rel=1e-8)
    assert chosen.by_mean == pytest.approx(same.by_mean, rel=1e-8)


def test_of_choices_that_are_as_good_the_plainest_is_taken() -> None:
    def one(rank: int, ridge: float, *left: float) -> Choice:
        return Choice(rank, ridge, 1 - sum(left), 0.0, left)

    # By parts the second is worse than the first here and better there; the third always worse.
    best, noisy = one(8, 0.1, 0.1, 0.1, 0.1), one(8, 1.0, 0.08, 0.15, 0.08)
    worse = one(8, 10.0, 0.11, 0.111, 0.112)
    assert plainest([best, noisy, worse]) == 1
    assert plainest([best, worse]) == 0
    assert plainest([best, one(4, 0.1, 0.1, 0.1, 0.1), one(2, 0.1, 0.2, 0.2, 0.2)]) == 1
    assert plainest([best, one(8, 0.1, 0.1, 0.1, 0.1001)]) == 0
    assert plainest([one(1, 0.1, 0.5), one(8, 0.1, 0.4)]) == 1


def test_what_differs_from_part_to_part_alike_for_all_is_no_excuse() -> None:
    """The parts differ much more than the choices do, and the choice is clear all the same."""
    hard = torch.tensor([0.01, 0.3, 0.05, 0.2])
    good = Choice(8, 0.1, 0.0, 0.0, tuple(hard.tolist()))
    worse = Choice(8, 1.0, 0.0, 0.0, tuple((hard + torch.tensor([3, 4, 3, 4]) / 1e3).tolist()))
    assert plainest([good, worse]) == 0
