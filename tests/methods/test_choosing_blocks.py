"""Blocks chosen by what examples show, against scikit-learn and plain counts."""

import warnings
from typing import Any

import pytest
import torch
from sklearn.linear_model import LogisticRegression

import steersman as sm
from steersman.errors import InputError
from steersman.methods.acting import acting, numbered
from steersman.methods.choosing import (
    FOLDS,
    RIDGE,
    opposed_blocks,
    probe_accuracy,
    strongest_blocks,
)
from steersman.windtunnel import behaviour, load


def states(count: int, shifts: list[float], seed: int) -> torch.Tensor:
    """Noise in five dimensions, moved along the first by a block's own shift."""
    x = torch.randn(count, len(shifts), 5, generator=torch.Generator().manual_seed(seed)).double()
    x[..., 0] += torch.tensor(shifts)
    return x


def test_opposed_blocks_have_means_of_opposite_signs() -> None:
    desired = torch.tensor([1.0, -2.0, 0.0, 3.0, -1.0])
    undesired = torch.tensor([-1.0, 1.0, -4.0, 2.0, -1.0])
    assert opposed_blocks(desired, undesired) == (0, 1)


def test_the_strongest_blocks_come_in_the_order_they_run() -> None:
    scores = torch.tensor([0.5, 2.0, 1.0, 2.0, -3.0])
    assert strongest_blocks(scores, 1) == (1,)  # of equal ones the earlier
    assert strongest_blocks(scores, 3) == (1, 2, 3)
    assert strongest_blocks(scores, 5) == (0, 1, 2, 3, 4)
    for count in (0, 6):
        with pytest.raises(InputError, match=f"{count} blocks are wanted; the model has 5"):
            strongest_blocks(scores, count)


def test_a_probe_is_as_accurate_as_another_implementation_finds_it() -> None:
    desired, undesired = states(23, [0.0, 1.0, 3.0], 0), states(31, [0.0, 0.0, 0.0], 1)
    expected = []
    for block in range(3):
        right = [[], []]
        for fold in range(FOLDS):
            out = [[i % FOLDS == fold for i in range(len(s))] for s in (desired, undesired)]
            keep = [~torch.tensor(one) for one in out]
            x = torch.cat([desired[keep[0], block], undesired[keep[1], block]])
            y = [1] * int(keep[0].sum()) + [-1] * int(keep[1].sum())
            scale = (x - x.mean(0)).square().sum(1).mean()
            probe = LogisticRegression(C=float(1 / (RIDGE * scale * len(x))), tol=1e-10)
            probe.fit(x.numpy(), y)
            for side, (given, sign) in enumerate(((desired, 1), (undesired, -1))):
                held = given[~keep[side], block].numpy()
                right[side] += [said == sign for said in probe.predict(held)]
        expected.append(sum(sum(one) / len(one) for one in right) / 2)
    found = probe_accuracy(desired, undesired)
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64))
    assert found[2] > 0.85 > 0.6 > found[0]
    with pytest.raises(InputError, match="two of each side, not 1"):
        probe_accuracy(desired[:1], undesired)


def fitted(method: Any) -> sm.Steering:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pairs = behaviour("truthfulness").pairs(0, 30)
        return sm.fit(
            *load(), pairs, method=method, jacobian_prompts=pairs.desired[:4], progress=False
        )


def test_a_method_takes_its_blocks_by_name() -> None:
    top = fitted(sm.FeatureLQR(blocks="top:2"))
    chosen = strongest_blocks(top.direction.separation[1:], 2)
    assert vars(top.method)["blocks"] == chosen == top.controller.active
    assert fitted(sm.PIDSteering(blocks="all")).method == sm.PIDSteering()
    probed = fitted(sm.PIDSteering(blocks="probe:3")).method
    assert len(vars(probed)["blocks"]) == 3
    turned = fitted(sm.AngularSteering(blocks="top:1"))
    assert turned.controller.active == strongest_blocks(turned.direction.separation[1:], 1)


@pytest.mark.parametrize("name", ["top", "top:x", "first:3", "best"])
def test_a_name_that_is_none_says_which_there_are(name: str) -> None:
    with pytest.raises(InputError, match="choose one of all, opposed, signs, top:K, probe:K"):
        fitted(sm.PIDSteering(blocks=name))


def test_a_name_is_no_number_where_nothing_is_fitted() -> None:
    with pytest.raises(InputError, match="found out from examples"):
        acting("top:2", 4)
    assert numbered((2, 1)) == (2, 1)
