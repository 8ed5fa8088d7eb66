"""Offset, projection and reflection against scikit-learn's probe and formulas in hooks."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hooked import close, fitted, hooked, sides, steered
from sklearn.linear_model import LogisticRegression
from transformers import PreTrainedModel

from steersman.errors import InputError
from steersman.methods import StMP, StTP, SwFC

Models = Callable[[str], PreTrainedModel]
ACTS, RIDGE = (0, 2), 0.1


class Probe(NamedTuple):
    v: np.ndarray
    c: float
    desired: float
    undesired: float
    spread: float


def probe(model: Any, tokenizer: Any, block: int) -> Probe:
    """A ridge logistic regression whose penalty is that of the package, by scikit-learn."""
    up, down = (side[:, block + 1] for side in sides(model, tokenizer))
    x = np.r_[up, down]
    size = ((x - x.mean(0)) ** 2).sum(1).mean()
    C = 1 / (RIDGE * size * len(x))
    rule = LogisticRegression(C=C, tol=1e-12, max_iter=10**5)
    rule.fit(x, np.r_[np.ones(len(up)), np.zeros(len(down))])
    w, b = rule.coef_[0], rule.intercept_[0]
    v = w / np.linalg.norm(w)
    return Probe(v, -b / np.linalg.norm(w), (up @ v).mean(), (down @ v).mean(), (up @ v).std())


@pytest.fixture
def probes(tiny_model: Models, tiny_tokenizer: Any) -> dict[int, Probe]:
    return {block: probe(tiny_model("llama"), tiny_tokenizer, block) for block in ACTS}


def compare(
    model: Any, tokenizer: Any, method: Any, probes: dict[int, Probe], push: Any, target: float
) -> None:
    """`push(probe, p)` is how far each token's projection is moved at target 1."""

    def edit(block: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if block not in probes:
            return y
        one = probes[block]
        return y + target * np.outer(push(one, y @ one.v), one.v)

    found = steered(model, fitted(model, tokenizer, method), target)
    close(found, hooked(model, edit))


@pytest.mark.parametrize("target", [1.0, -0.5])
def test_the_uniform_offset_is_the_distance_of_the_means_shared_out(
    target: float, probes: dict[int, Probe], tiny_model: Models, tiny_tokenizer: Any
) -> None:
    def push(one: Probe, p: np.ndarray) -> np.ndarray:
        return np.full_like(p, (one.desired - one.undesired) / len(ACTS))

    compare(tiny_model("llama"), tiny_tokenizer, SwFC(ACTS, RIDGE), probes, push, target)


@pytest.mark.parametrize("sigmas", [None, 1.5])
@pytest.mark.parametrize("target", [1.0, 0.3])
def test_the_projection_sends_what_is_below_the_threshold_to_the_desired_mean(
    sigmas: float | None,
    target: float,
    probes: dict[int, Probe],
    tiny_model: Models,
    tiny_tokenizer: Any,
) -> None:
    def push(one: Probe, p: np.ndarray) -> np.ndarray:
        tau = one.c if sigmas is None else one.desired - sigmas * one.spread
        return np.where(p < tau, one.desired - p, 0.0)

    method = StTP(ACTS, sigmas, RIDGE)
    compare(tiny_model("llama"), tiny_tokenizer, method, probes, push, target)


@pytest.mark.parametrize("target", [1.0, 0.5])
def test_the_reflection_mirrors_what_is_below_the_boundary(
    target: float, probes: dict[int, Probe], tiny_model: Models, tiny_tokenizer: Any
) -> None:
    def push(one: Probe, p: np.ndarray) -> np.ndarray:
        return np.where(p < one.c, 2 * (one.c - p), 0.0)

    compare(tiny_model("llama"), tiny_tokenizer, StMP(ACTS, None, RIDGE), probes, push, target)


def test_no_token_is_sent_across_and_back(tiny_model: Models, tiny_tokenizer: Any) -> None:
    """A threshold beyond the boundary would mirror tokens that lie between to the wrong side."""
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, StMP((1,), -50.0))
    own = steering.controller.own
    assert float(own["threshold"][1]) > float(own["boundary"][1])
    law = steering.method.law(steering.controller)
    x = torch.randn(200, steering.provenance.n, generator=torch.Generator().manual_seed(0))
    _, u = law.step(None, x, torch.ones(200, 1), 1)
    p, moved = x @ own["v"][1], (x + u) @ own["v"][1]
    assert bool((moved >= torch.minimum(p, own["boundary"][1]) - 1e-5).all())
    assert bool((moved - p >= -1e-5).all()) and bool(u.any())


def test_the_middle_third_acts_where_nothing_was_chosen(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    steering = fitted(tiny_model("llama"), tiny_tokenizer, "sttp")
    law = steering.method.law(steering.controller)
    assert [law.is_active(block) for block in range(3)] == [False, True, False]


def test_blocks_that_are_not_there_are_refused(tiny_model: Models, tiny_tokenizer: Any) -> None:
    with pytest.raises(InputError, match=r"blocks names \[3\]"):
        fitted(tiny_model("llama"), tiny_tokenizer, SwFC((3,)))
