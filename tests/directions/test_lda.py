"""Linear discriminant analysis: scikit-learn's, and what a known covariance says it must be."""

import warnings

import numpy as np
import pytest
import torch
from gaussians import stacked, two_sides, unit
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from steersman.directions import LinearDiscriminant, Whitened
from steersman.errors import InputError


def scikit(x: torch.Tensor, y: torch.Tensor, shrinkage: str | float) -> LinearDiscriminantAnalysis:
    made = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
    return made.fit(x.numpy(), y.numpy())


@pytest.mark.parametrize("sizes", [(40, 30), (12, 50)])
@pytest.mark.parametrize("n", [8, 120])
def test_it_is_that_of_scikit_learn_with_its_bias(sizes: tuple[int, int], n: int) -> None:
    given = two_sides(*sizes, n=n)
    expected, found = scikit(*stacked(given), "auto"), LinearDiscriminant().fit(*given)
    np.testing.assert_allclose(found.weights, expected.coef_[0], rtol=1e-6, atol=1e-8)
    assert found.bias == pytest.approx(expected.intercept_[0], rel=1e-6, abs=1e-8)


def test_it_gives_the_probabilities_of_scikit_learn() -> None:
    given = two_sides()
    x, y = stacked(given)
    expected = scikit(x, y, "auto").predict_proba(x.numpy())[:, 1]
    np.testing.assert_allclose(LinearDiscriminant().fit(*given).probability(x), expected, atol=1e-8)


@pytest.mark.parametrize("shrinkage", [0.1, 0.7])
def test_at_a_given_shrinkage_that_of_scikit_learn_is_the_whitened_rule(shrinkage: float) -> None:
    given = two_sides(n=60)
    expected = scikit(*stacked(given), shrinkage).coef_[0]
    np.testing.assert_allclose(Whitened(shrinkage).read(*given), expected, rtol=1e-8, atol=1e-9)


def test_with_many_examples_it_is_the_contrast_by_the_known_covariance() -> None:
    d, u = two_sides(20000, 20000, n=5)
    variance = torch.linspace(3, 0.2, 5).double().square()
    known = torch.tensor([1.0, 0, 0, 0, 0.3]).double() / variance
    assert float(unit(LinearDiscriminant().read(d, u)) @ unit(known)) > 0.999


def test_a_constant_coordinate_does_no_harm() -> None:
    given = tuple(torch.cat([side, torch.full((len(side), 1), 7.0)], 1) for side in two_sides())
    expected = scikit(*stacked(given), "auto").coef_[0]  # type: ignore[arg-type]
    np.testing.assert_allclose(LinearDiscriminant().read(*given), expected, rtol=1e-6, atol=1e-8)


def test_states_that_vary_within_no_side_give_the_contrast() -> None:
    d, u = torch.ones(3, 4).double(), torch.zeros(3, 4).double()
    torch.testing.assert_close(LinearDiscriminant().read(d, u), torch.ones(4).double())


def test_one_example_of_each_side_is_too_few_and_one_of_one_side_is_not() -> None:
    d, u = two_sides(1, 30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert LinearDiscriminant().read(d, u).any()
    with pytest.raises(InputError, match="'lda' has to know how states vary"):
        LinearDiscriminant().read(d, u[:1])
