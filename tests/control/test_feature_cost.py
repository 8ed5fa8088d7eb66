"""What is asked of features: weights in every form, demands, and what is refused."""

import math

import pytest
import torch
from feature_problems import near, unit_columns
from toy_plants import randn

from steersman.control import FeatureCost
from steersman.errors import InputError, NumericalError, ShapeError

NAN, INF = math.nan, math.inf


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        (0.1, [[0.1, 0.1], [0.1, 0.1]]),
        (tensor(0.1, 0.7), [[0.1, 0.7], [0.1, 0.7]]),
        (tensor([9.0, 9.0], [0.1, 0.2], [0.3, 0.4]), [[0.1, 0.2], [0.3, 0.4]]),
    ],
)
def test_weights_are_given_once_by_feature_or_by_block_and_feature(q, expected):
    cost = FeatureCost(unit_columns(0, 4, 6, 2), q, tensor(1.0, 0.0))
    assert cost.weights.tolist() == [[0.0, 0.0], *expected, [1.0, 0.0]]


def test_the_factor_is_the_weighted_directions_without_the_unweighted():
    cost = FeatureCost(unit_columns(0, 4, 6, 3), tensor(4.0, 0.0, 0.25), 0.0)
    Q = torch.diag(tensor(4.0, 0.0, 0.25))
    assert cost.factor(1).shape == (6, 2)
    assert near(cost.factor(1) @ cost.factor(1).mT, cost.V[1] @ Q @ cost.V[1].mT)
    assert cost.factor(3).shape == (6, 0)


def test_a_feature_without_direction_asks_for_nothing_there():
    V = unit_columns(0, 4, 6, 2).clone()
    V[2, :, 1] = 0
    cost = FeatureCost(V, 1.0, 1.0)
    assert cost.weights.tolist() == [[0, 0], [1, 1], [1, 0], [1, 1]]


def test_demands_are_what_is_asked_less_what_the_nominal_run_shows():
    cost, beta, nominal = (
        FeatureCost(unit_columns(0, 4, 6, 2), 1.0, 1.0),
        randn(1, 4, 2),
        randn(2, 4, 6),
    )
    for t, demand in enumerate(cost.demands(beta, nominal)):
        assert near(demand, beta[t] - cost.V[t].mT @ nominal[t])


@pytest.mark.usefixtures("unchecked")
def test_beta_and_nominal_of_another_plant_are_refused():
    cost = FeatureCost(unit_columns(0, 4, 6, 2), 1.0, 1.0)
    with pytest.raises(ShapeError, match=r"beta has shape \(3, 2\); expected \(states=4, k=2\)"):
        cost.demands(randn(1, 3, 2), randn(2, 4, 6))
    with pytest.raises(ShapeError, match=r"nominal has shape \(4, 7\)"):
        cost.demands(randn(1, 4, 2), randn(2, 4, 7))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("shape", [(4, 6), (1, 6, 1), (4, 6, 0)])
def test_directions_of_another_form_are_refused(shape):
    with pytest.raises(ShapeError, match="expected .states, n, k. for the states x_0 .. x_T"):
        FeatureCost(randn(0, *shape), 1.0, 1.0)


def test_more_features_than_coordinates_are_refused():
    with pytest.raises(ShapeError, match="V has 4 features of states of width 3; give fewer"):
        FeatureCost(randn(0, 4, 3, 4), 1.0, 1.0)


def test_half_precision_is_refused():
    with pytest.raises(InputError, match="V has dtype torch.bfloat16"):
        FeatureCost(randn(0, 4, 6, 1).bfloat16(), 1.0, 1.0)


def test_directions_that_are_not_finite_are_refused():
    with pytest.raises(NumericalError, match="V has 24 NaN"):
        FeatureCost(torch.full((4, 6, 1), NAN), 1.0, 1.0)


@pytest.mark.parametrize(
    ("q", "qf", "message"),
    [
        (-0.5, 1.0, "q holds -0.5; a weight must be zero or above"),
        (1.0, tensor(1.0, -2.0), "qf holds -2.0"),
        (tensor(1.0, 1.0, 1.0), 1.0, r"q has shape \(3,\); expected a number, \(k=2,\) or"),
        (torch.ones(4, 2), 1.0, r"q has shape \(4, 2\).*\(blocks=3, k=2\)"),
        (1.0, torch.ones(3), r"qf has shape \(3,\).*\(blocks=1, k=2\)"),
        (0.0, 0.0, "q and qf are zero at every state after x_0"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_weights_of_the_wrong_sign_or_length_are_refused(q, qf, message):
    with pytest.raises(InputError, match=message):
        FeatureCost(unit_columns(0, 4, 6, 2), q, qf)


@pytest.mark.parametrize("value", [NAN, INF])
def test_a_weight_that_is_not_finite_is_refused(value):
    with pytest.raises(NumericalError, match="q has 1 NaN or infinite"):
        FeatureCost(unit_columns(0, 4, 6, 2), value, 1.0)


def test_a_weight_of_the_first_state_alone_asks_for_nothing():
    q = torch.zeros(3, 1)
    q[0] = 1.0
    with pytest.raises(InputError, match="nothing is asked for. Raise q or qf"):
        FeatureCost(unit_columns(0, 4, 6, 1), q, 0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dependent_features_are_named_with_their_singular_value(dtype):
    V = unit_columns(0, 4, 60, 4).clone()
    V[2, :, 3] = 2 * V[2, :, 0] - V[2, :, 1]
    with pytest.raises(
        InputError, match=r"Features \[0, 1, 3\] are linearly dependent at state 2: .*e-"
    ):
        FeatureCost(V.to(dtype), 1.0, 1.0)


def test_dependent_features_are_fine_where_one_is_not_weighted():
    V = unit_columns(0, 4, 6, 2).clone()
    V[1, :, 1] = V[1, :, 0]
    q = tensor([1.0, 1.0], [1.0, 0.0], [1.0, 1.0])
    assert FeatureCost(V, q, 1.0).factor(1).shape == (6, 1)


def test_correlated_features_are_fine():
    V = unit_columns(0, 4, 6, 2).clone()
    V[:, :, 1] = V[:, :, 0] + 1e-3 * V[:, :, 1]
    assert FeatureCost(V, 1.0, 1.0).k == 2
