"""The smallest push to a probability, against the probe written out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hooked import close, fitted, hooked, sides, steered
from sklearn.linear_model import LogisticRegression
from transformers import PreTrainedModel

from steersman.directions import Probe
from steersman.errors import InputError
from steersman.methods import Sides, TargetProbability
from steersman.methods.probed import probed

Models = Callable[[str], PreTrainedModel]
RIDGE = 0.05


def weights(model: Any, tokenizer: Any, block: int) -> tuple[np.ndarray, float]:
    up, down = (side[:, block + 1] for side in sides(model, tokenizer))
    x = np.r_[up, down]
    size = ((x - x.mean(0)) ** 2).sum(1).mean()
    rule = LogisticRegression(C=1 / (RIDGE * size * len(x)), tol=1e-12, max_iter=10**5)
    rule.fit(x, np.r_[np.ones(len(up)), np.zeros(len(down))])
    return rule.coef_[0], float(rule.intercept_[0])


@pytest.mark.parametrize("probability", [0.3, 0.9])
@pytest.mark.parametrize("target", [1.0, 0.5])
def test_each_token_is_pushed_as_far_as_it_takes_and_no_further(
    probability: float, target: float, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("gpt2")
    w, b = weights(model, tiny_tokenizer, 1)
    asked, size = np.log(probability / (1 - probability)), np.linalg.norm(w)
    after: list[float] = []

    def edit(block: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if block != 1:
            return y
        push = np.maximum(0, (asked - (y @ w + b)) / size)
        new = y + target * np.outer(push, w / size)
        after.extend(1 / (1 + np.exp(-(new @ w + b))))
        return new

    expected = hooked(model, edit)
    method = TargetProbability(probability, 1, RIDGE)
    close(steered(model, fitted(model, tiny_tokenizer, method), target), expected)
    if target == 1.0:
        assert min(after) >= probability - 1e-9


def test_the_intercept_follows_from_the_weights_also_for_sides_of_different_size() -> None:
    def randn(seed: int, *shape: int) -> torch.Tensor:
        seeded = torch.Generator().manual_seed(seed)
        return torch.randn(*shape, generator=seeded, dtype=torch.float64)

    some = Sides(randn(0, 30, 3, 5) + 0.7, randn(1, 12, 3, 5))
    found = probed(some, Probe(0.02), (1,))
    x = torch.cat([side[:, 2] for side in some]).numpy()
    size = ((x - x.mean(0)) ** 2).sum(1).mean()
    rule = LogisticRegression(C=1 / (0.02 * size * len(x)), tol=1e-12, max_iter=10**5)
    rule.fit(x, np.r_[np.ones(30), np.zeros(12)])
    length = np.linalg.norm(rule.coef_[0])
    assert float(found.slope[1]) == pytest.approx(length, rel=1e-5)
    assert float(found.boundary[1]) == pytest.approx(-rule.intercept_[0] / length, rel=1e-4)
    assert not found.v[0].any()


@pytest.mark.parametrize("probability", [0.0, 1.0, 1.5])
def test_what_is_no_probability_is_refused(
    probability: float, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    with pytest.raises(InputError, match="above 0 and below 1"):
        fitted(tiny_model("llama"), tiny_tokenizer, TargetProbability(probability))
