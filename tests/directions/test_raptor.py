"""RAPTOR: scikit-learn's logistic regression on standardised states, and its setpoint."""

import math

import numpy as np
import pytest
import torch
from gaussians import Sides, stacked, two_sides
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from steersman.directions import Boundary, Raptor, contrast, observer_named
from steersman.directions.probe import fold_numbers
from steersman.directions.raptor import STRENGTHS
from steersman.errors import InputError


def scikit(x: torch.Tensor, y: torch.Tensor, strength: float) -> tuple[np.ndarray, float]:
    """`w` and `b` in units of the states."""
    probe = LogisticRegression(C=1 / strength, tol=1e-12, solver="newton-cholesky")
    scale = StandardScaler()
    make_pipeline(scale, probe).fit(x.numpy(), y.numpy())
    w = probe.coef_[0] / scale.scale_
    return w, float(probe.intercept_[0] - w @ scale.mean_)


def held_out(given: Sides, strength: float) -> float:
    x, y = stacked(given)
    test = fold_numbers(len(given[0]), len(given[1])) == 0
    w, b = scikit(x[~test], y[~test], strength)
    right = (x[test].numpy() @ w + b) * y[test].numpy() > 0
    return float(right.mean())


@pytest.mark.parametrize("strength", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("n", [8, 120])
def test_at_one_strength_it_is_that_of_scikit_learn(strength: float, n: int) -> None:
    given = two_sides(n=n)
    w, b = scikit(*stacked(given), strength)
    found = Raptor((strength,)).fit(*given).boundary
    np.testing.assert_allclose(found.weights, w, atol=1e-6 * np.abs(w).max())
    assert found.bias == pytest.approx(b, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("n", [8, 60])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_strength_is_the_largest_of_those_most_often_right_on_what_is_held_out(
    n: int, seed: int
) -> None:
    given = two_sides(n=n, seed=seed)
    accuracies = {strength: held_out(given, strength) for strength in STRENGTHS}
    best = max(accuracies.values())
    found = Raptor().fit(*given)
    assert found.strength == max(s for s, right in accuracies.items() if right == best)
    assert found.accuracy == pytest.approx(best)
    alone = Raptor((found.strength,)).fit(*given).boundary
    torch.testing.assert_close(found.boundary.weights, alone.weights, rtol=1e-5, atol=1e-8)


def test_units_of_a_coordinate_do_not_matter() -> None:
    d, u = two_sides()
    scale = torch.logspace(-3, 3, 8).double()
    found, scaled = Raptor().fit(d, u).boundary, Raptor().fit(d * scale, u * scale).boundary
    torch.testing.assert_close(scaled.weights * scale, found.weights, rtol=1e-6, atol=1e-9)
    assert scaled.bias == pytest.approx(found.bias)


def test_a_constant_coordinate_has_no_weight() -> None:
    d, u = (torch.cat([side, torch.full((len(side), 1), 7.0)], 1) for side in two_sides())
    w = Raptor().read(d, u)
    assert float(w[-1]) == 0 and bool(w[:-1].all())


@pytest.mark.parametrize("p", [0.1, 0.5, 0.99])
def test_a_state_brought_to_the_setpoint_has_the_probability(p: float) -> None:
    given = two_sides()
    found, x = Raptor().fit(*given).boundary, torch.cat(given)
    v = found.direction
    there = x + (found.setpoint(p) - x @ v)[:, None] * v
    torch.testing.assert_close(found.probability(there), torch.full((70,), p).double())


def test_as_a_target_in_natural_units_the_setpoint_is_the_same_state() -> None:
    given = two_sides()
    found = Raptor().fit(*given).boundary
    feature = contrast(*(side.unsqueeze(1) for side in given), direction=Raptor())
    norm, origin = float(feature.norm[0]), float(feature.origin[0])
    target = found.target(0.8, norm=norm, origin=origin)
    assert origin + target * norm == pytest.approx(found.setpoint(0.8))
    with pytest.raises(InputError, match="no contrast at this state"):
        found.target(0.8, norm=0.0, origin=0.0)


def test_a_setpoint_by_hand() -> None:
    boundary = Boundary(torch.tensor([3.0, 4.0]).double(), 1.0)
    assert boundary.setpoint(0.75) == pytest.approx((math.log(3) - 1) / 5)


@pytest.mark.parametrize("p", [0.0, 1.0, math.nan])
def test_no_state_is_certain(p: float) -> None:
    with pytest.raises(InputError, match="above 0 and below 1"):
        Boundary(torch.ones(2).double(), 0.0).setpoint(p)


def test_without_weights_there_is_no_setpoint() -> None:
    same = torch.ones(4, 3).double()
    found = Raptor().fit(same, same).boundary
    assert not found.weights.any()
    with pytest.raises(InputError, match="has no weights"):
        found.setpoint(0.5)


def test_what_cannot_be_tuned_takes_the_largest_strength() -> None:
    d, u = two_sides(1, 5)
    found = Raptor().fit(d, u)
    assert found.strength == STRENGTHS[-1] and math.isnan(found.accuracy)
    with pytest.raises(InputError, match="'raptor' has to know"):
        Raptor().fit(d, u[:1])


def test_its_names_make_it_again() -> None:
    for rule in (Raptor(), Raptor((0.5, 10.0))):
        assert observer_named(rule.name) == rule
    for name, says in (("raptor:0", "above zero"), ("raptor:much", "is no number")):
        with pytest.raises(InputError, match=says):
            observer_named(name)
