"""d' out of sample: right on average, with an honest error, and against another implementation."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import PredefinedSplit

from steersman.directions import (
    MeanDifference,
    Probe,
    Whitened,
    contrast,
    separation,
    worth_steering,
)
from steersman.errors import InputError


def gaussian(seed, count, distance, n=8, states=1, undesired=None):
    """Two normal clouds whose means are `distance` standard deviations apart."""
    generator = torch.Generator().manual_seed(seed)
    d = torch.randn(count, states, n, generator=generator, dtype=torch.float64)
    u = torch.randn(undesired or count, states, n, generator=generator, dtype=torch.float64)
    d[..., 0] += distance
    return d, u


def by_numpy(d, u, folds, seed):
    """The definition written out with scikit-learn's splits, one state."""
    order = torch.randperm(len(d), generator=torch.Generator().manual_seed(seed)) % folds
    shifts, shares, desired, undesired = [], [], [], []
    for train, test in PredefinedSplit(order.numpy()).split():
        b = d[train].mean(0) - u[train].mean(0)
        w = b / np.linalg.norm(b)
        shifts.append((d[test] @ w).mean() - (u[test] @ w).mean())
        shares.append(shifts[-1] / np.linalg.norm(b))
        desired.append(((d[test] @ w) - (d[test] @ w).mean()) ** 2)
        undesired.append(((u[test] @ w) - (u[test] @ w).mean()) ** 2)
    freedom = len(d) - folds
    variances = [np.concatenate(squares).sum() / freedom for squares in (desired, undesired)]
    pooled = sum(variances) / 2
    d_prime, rho = np.mean(shifts) / np.sqrt(pooled), np.clip(np.mean(shares), 0, 1)
    phi = rho * (2 - rho) ** 2 + 2 * (1 - rho)
    return d_prime, np.sqrt(phi * sum(variances) / len(d) / pooled + d_prime**2 / (4 * freedom))


@pytest.mark.parametrize("folds", [2, 5])
def test_it_is_the_definition_written_out_in_numpy(folds):
    d, u = gaussian(3, 23, 1.5)
    found = separation(d, u, folds=folds, seed=7)
    expected = by_numpy(d[:, 0].numpy(), u[:, 0].numpy(), folds, 7)
    assert (float(found.d), float(found.se)) == pytest.approx(expected, rel=1e-12)


def test_without_a_contrast_it_is_zero_where_the_examples_themselves_look_apart():
    # Every state is an experiment of its own.
    d, u = gaussian(0, 20, 0.0, n=60, states=200)
    v = torch.nn.functional.normalize(d.mean(0) - u.mean(0), dim=-1)
    in_sample = torch.einsum("esn,sn->es", d, v).mean(0) - torch.einsum("esn,sn->es", u, v).mean(0)
    found = separation(d, u)
    assert in_sample.mean() > 2
    assert abs(found.d.mean()) < 3 * found.se.mean() / 200**0.5


@pytest.mark.parametrize(("distance", "undesired"), [(0.5, 100), (2.0, 100), (2.0, 300)])
def test_it_finds_the_true_distance_of_many_examples(distance, undesired):
    found = separation(*gaussian(1, 100, distance, states=300, n=3, undesired=undesired))
    # The direction of a few folds is not quite the true one, so d' is a little low.
    assert distance - 0.1 < found.d.mean() < distance + 0.05


@pytest.mark.parametrize("distance", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("count", [20, 100])
@pytest.mark.parametrize("spread", ["round", "long"])
def test_its_error_is_how_much_it_varies_from_one_set_of_examples_to_the_next(
    distance, count, spread
):
    d, u = gaussian(1, count, distance, states=600, n=24)
    if spread == "long":  # axes of very different variances, as states of a model have
        sizes = torch.linspace(2.0, 0.5, 24, dtype=torch.float64)
        d, u = d * sizes, u * sizes
    found = separation(d, u)
    assert found.se.mean() == pytest.approx(float(found.d.std()), rel=0.15)
    covered = ((found.d - found.d.mean()).abs() < 2 * found.se).double().mean()
    assert 0.92 < covered < 0.985


def test_pairs_are_left_out_together():
    # Every pair shares a topic far larger than the contrast; a topic that was split would leak.
    generator = torch.Generator().manual_seed(0)
    topic = 20 * torch.randn(40, 100, 12, generator=generator, dtype=torch.float64)
    noise = torch.randn(2, 40, 100, 12, generator=generator, dtype=torch.float64)
    found = separation(topic + noise[0], topic + noise[1])
    assert abs(found.d.mean()) < 0.02


@settings(max_examples=25, deadline=None)
@given(
    st.integers(4, 30),
    st.integers(4, 30),
    st.floats(1e-3, 1e3),
    st.integers(2, 8),
    st.integers(0, 5),
)
def test_it_does_not_depend_on_the_scale_of_the_states(desired, undesired, scale, folds, seed):
    d, u = gaussian(seed, desired, 1.0, undesired=undesired)
    here = separation(d, u, folds=folds, seed=seed)
    there = separation(d * scale, u * scale, folds=folds, seed=seed)
    torch.testing.assert_close(here.d, there.d)
    torch.testing.assert_close(here.se, there.se)


def test_a_difference_without_any_spread_is_large_but_finite():
    d, u = torch.ones(8, 2, 3), torch.zeros(9, 2, 3)
    found = separation(d, u)
    assert torch.all(found.d > 1e3)
    assert torch.isfinite(found.d).all()


@pytest.mark.parametrize("counts", [(3, 50), (50, 3), (1, 1)])
def test_below_four_examples_nothing_is_measured(counts):
    found = separation(torch.randn(counts[0], 2, 5), torch.randn(counts[1], 2, 5))
    assert not found.d.any()
    assert torch.all(found.se == torch.inf)


def test_one_fold_is_refused():
    with pytest.raises(InputError, match="folds is 1"):
        separation(*gaussian(0, 10, 1.0), folds=1)


def doubts(d, u):
    return worth_steering(contrast(d, u))


def late(d, u):
    """The same with an embedding that is the same for all."""
    same = torch.zeros(1, 1, d.shape[-1], dtype=d.dtype)
    return tuple(torch.cat([same.expand(len(x), 1, -1), x], dim=1) for x in (d, u))


def test_a_clear_contrast_leaves_no_doubt():
    assert doubts(*late(*gaussian(0, 100, 2.0))) == []


def test_one_good_block_is_enough():
    d, u = gaussian(0, 100, 0.0, states=4)
    d[:, 2, 0] += 2
    assert doubts(*late(d, u)) == []


@pytest.mark.parametrize(
    ("count", "distance", "says"),
    [
        (60, 0.0, "not distinguishable from none"),
        (1500, 0.3, r"only d' = 0\.2\d \+- 0\.04 at state 1"),
        (3, 5.0, "could not be measured: it takes four examples"),
    ],
)
def test_a_poor_contrast_is_doubted_with_its_numbers_and_what_to_do(count, distance, says):
    (doubt,) = doubts(*late(*gaussian(0, count, distance)))
    assert re.search(says, doubt)
    assert "examples" in doubt


def test_sides_that_differ_before_the_first_block_are_doubted():
    d, u = gaussian(0, 50, 3.0, states=3)
    (doubt,) = doubts(d, u)
    assert "differ before the first block" in doubt
    d, u = gaussian(0, 50, 1.0, states=3)
    d[:, 1:, 0] += 2
    assert doubts(d, u) == []


@pytest.mark.parametrize("observer", [MeanDifference(), Whitened(), Probe(1.0)], ids=str)
def test_folds_that_show_no_contrast_count_as_noise(observer):
    """Whole numbers, so that the sides of some folds are exactly alike, as of a few tokens."""
    fold = torch.randperm(10, generator=torch.Generator().manual_seed(0)) % 5
    u = torch.stack([fold.double(), fold.double() % 2], dim=1)[:, None]
    d = u.clone()
    d[:, 0, 0] += torch.tensor([1.0, 1.0, -1.0, 0.0, 0.0]).double()[fold]
    found = separation(d, u, observer=observer)
    assert bool(found.d.isfinite()) and bool(found.se.isfinite())
    made = contrast(d.repeat(1, 2, 1), u.repeat(1, 2, 1), observer=observer)
    assert bool(made.separation_se.isfinite().all())
