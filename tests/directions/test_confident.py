"""The mean of confident examples: against scikit-learn, and what beta does."""

import numpy as np
import pytest
import torch
from gaussians import Sides, stacked, two_sides
from sklearn.linear_model import LogisticRegression

from steersman.directions import ConfidentMean, MeanDifference, observer_named
from steersman.directions.probe import chosen_ridge, fold_numbers
from steersman.errors import InputError


def confidence(given: Sides) -> np.ndarray:
    """How sure scikit-learn's probe of the other folds is of each example."""
    x, y = (part.numpy() for part in stacked(given))
    fold = fold_numbers(len(given[0]), len(given[1]))
    ridge = chosen_ridge(*stacked(given), fold)
    sure = np.zeros(len(y))
    for index in range(int(fold.max()) + 1):
        test = (fold == index).numpy()
        size = ((x[~test] - x[~test].mean(0)) ** 2).sum()
        probe = LogisticRegression(C=1 / (ridge * size), tol=1e-12, solver="newton-cholesky")
        p = probe.fit(x[~test], y[~test]).predict_proba(x[test])[:, 1]
        sure[test] = np.where(y[test] > 0, p, 1 - p)
    return sure


@pytest.mark.parametrize("n", [8, 120])
def test_confidence_is_that_of_a_probe_that_has_not_seen_the_example(n: int) -> None:
    given = two_sides(n=n)
    found = torch.cat(ConfidentMean().confidence(*given))
    np.testing.assert_allclose(found, confidence(given), atol=1e-6)


@pytest.mark.parametrize("beta", [0.5, 0.7])
def test_it_is_the_difference_of_the_means_of_those_above_beta(beta: float) -> None:
    given = two_sides()
    (d, u), sure = (side.numpy() for side in given), confidence(given)
    expected = d[sure[:40] >= beta].mean(0) - u[sure[40:] >= beta].mean(0)
    assert (sure < beta).any()
    np.testing.assert_allclose(ConfidentMean(beta).read(*given), expected, atol=1e-12)


def test_at_zero_it_is_the_mean_difference() -> None:
    given = two_sides()
    torch.testing.assert_close(ConfidentMean(0.0).read(*given), MeanDifference().read(*given))


def test_examples_on_the_wrong_side_do_not_count() -> None:
    generator = torch.Generator().manual_seed(0)
    d, u = (torch.randn(60, 4, generator=generator).double() for _ in range(2))
    d[:, 0] += 8
    clean = float(MeanDifference().read(d[:50], u[:50])[0])
    d[50:], u[50:] = u[50:].clone(), d[50:].clone()
    assert float(MeanDifference().read(d, u)[0]) < 0.8 * clean
    assert float(ConfidentMean(0.5).read(d, u)[0]) == pytest.approx(clean, rel=0.05)


def test_a_side_nobody_is_sure_of_gives_no_direction() -> None:
    generator = torch.Generator().manual_seed(0)
    d, u = (torch.randn(30, 4, generator=generator).double() for _ in range(2))
    assert not ConfidentMean(0.99).read(d, u).any()


def test_what_it_refuses() -> None:
    d, u = two_sides(1, 5)
    with pytest.raises(InputError, match="1 desired and 5 undesired"):
        ConfidentMean().read(d, u)
    for beta in (-0.1, 1.0, float("nan")):
        with pytest.raises(InputError, match="at least 0 and below 1"):
            ConfidentMean(beta)
    for rule in (ConfidentMean(), ConfidentMean(0.7)):
        assert observer_named(rule.name) == rule
