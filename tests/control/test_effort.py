"""Actuators and their weights: what they do, and what is refused."""

import math

import pytest
import torch
from feature_problems import near
from toy_plants import randn

from steersman.control import Effort
from steersman.errors import InputError, NumericalError, ShapeError

INF = math.inf


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def actuators(*widths, n=6):
    return tuple(randn(t, n, p) for t, p in enumerate(widths))


@pytest.mark.parametrize(
    ("r", "B", "weights"),
    [
        (0.3, None, [0.3] * 6),
        (vector(2.0, 0.3), None, [0.3] * 6),
        ((2.0, vector(1, 2, 3, 4, 5, 6)), None, [1, 2, 3, 4, 5, 6]),
        (0.3, actuators(1, 2), [0.3, 0.3]),
        ((1.0, vector(0.2, 5.0)), actuators(1, 2), [0.2, 5.0]),
    ],
)
def test_sensing_is_driving_weighed_and_transposed(r, B, weights):
    effort, W = Effort(r, B), randn(9, 6, 4)
    effort.require_fit(2, 6)
    matrix = effort.drive(1, torch.eye(len(weights)).double())
    root = torch.diag(vector(*weights).sqrt())
    assert near(root @ effort.sense(1, W), matrix.mT @ W)
    w = randn(8, len(weights))
    assert near(effort.weigh(1, w), root @ w)
    assert near(effort.relax(1, effort.weigh(1, w)), w)


def test_an_infinite_weight_is_an_actuator_that_is_not_there():
    effort = Effort((1.0, INF, vector(4.0, INF)), actuators(1, 2, 2))
    assert [effort.acts(t) for t in range(3)] == [True, False, True]
    assert not effort.sense(1, randn(0, 6, 3)).any()
    assert effort.relax(2, vector(2.0, 5.0)).tolist() == [1.0, 0.0]
    assert effort.weigh(2, vector(2.0, 0.0)).tolist() == [4.0, 0.0]


@pytest.mark.parametrize(
    ("r", "message"),
    [
        (0.0, "r is 0.0; it must be above zero, or inf where nothing may be touched"),
        (-1.0, "r is -1.0"),
        (math.nan, "r is nan"),
        (-INF, "r is -inf"),
        (vector(1.0, -2.0), "r of block 1 is -2.0"),
        ((1.0, vector(1.0, 0.0)), "r of block 1 is 0.0"),
        (INF, "r is inf everywhere: nothing may act. Give a block a finite r"),
        (vector(INF, INF), "r is inf everywhere"),
    ],
)
def test_weights_that_are_not_above_zero_are_refused(r, message):
    with pytest.raises(InputError, match=message):
        Effort(r)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("r", [(), torch.ones(2, 6), torch.ones(())])
def test_weights_of_another_form_are_refused(r):
    with pytest.raises(ShapeError, match="r must be a number, or have one entry a block"):
        Effort(r)


@pytest.mark.parametrize(
    ("effort", "message"),
    [
        (Effort(torch.ones(3)), "r has 3 entries for 2 blocks"),
        (Effort(1.0, actuators(1, 1, 1)), "B has 3 entries for 2 blocks"),
        (Effort(1.0, actuators(1, 1, n=5)), "B acts on states of width 5; they have 6"),
        (Effort((1.0, vector(1, 2, 3))), r"r of block 1 has shape \(3,\).*\(p=6,\)"),
        (Effort((1.0, vector(1, 2)), actuators(1, 3)), r"r of block 1 has shape \(2,\).*\(p=3,\)"),
    ],
)
def test_effort_of_another_plant_is_refused(effort, message):
    with pytest.raises(ShapeError, match=message):
        effort.require_fit(2, 6)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("shape", [(6,), (6, 0), (5, 1)])
def test_actuators_of_another_form_are_refused(shape):
    with pytest.raises(
        ShapeError, match=r"B of block 1 has shape .*expected \(n=6, p\) with p >= 1"
    ):
        Effort(1.0, (randn(0, 6, 1), randn(0, *shape)))


def test_actuators_that_are_not_finite_or_in_half_precision_are_refused():
    with pytest.raises(NumericalError, match="B of block 0 has 6 NaN"):
        Effort(1.0, (torch.full((6, 1), math.nan),))
    with pytest.raises(InputError, match="B of block 0 has dtype torch.float16"):
        Effort(1.0, (torch.ones(6, 1).half(),))
