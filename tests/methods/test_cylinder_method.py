"""The push around its axis in front of a model, from the counterfactual shift."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hooked import close, fitted, hooked, sides, steered
from transformers import PreTrainedModel

import steersman as sm
from steersman.methods import Counterfactual, Cylinder

Models = Callable[[str], PreTrainedModel]


def aligned(tokenizer: Any) -> sm.ContrastivePairs:
    words = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    ends = [f"{words[i]} {words[0]}" for i in range(2, 12)]
    return sm.ContrastivePairs(
        desired=[f"{words[-1]} {end}" for end in ends],
        undesired=[f"{words[-2]} {end}" for end in ends],
    )


@pytest.mark.parametrize("penalty", [0.0, 0.4, 1.0])
def test_the_shift_of_each_state_is_split_into_axis_and_normal(
    penalty: float, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model, pairs = tiny_model("llama"), aligned(tiny_tokenizer)
    up, down = sides(model, tiny_tokenizer, pairs)
    # The shift is of block 1's output, where it is added, and not of its input.
    mean = (up - down)[:, 2].mean(0)
    a, L = mean / np.linalg.norm(mean), np.linalg.norm(mean)
    found = fitted(model, tiny_tokenizer, Counterfactual(1, 2, 0.1), pairs=pairs).controller
    H, G = found.H[1].double().numpy(), found.G[1].double().numpy()
    o = found.shifts[1, :, 0].double().numpy()

    wanting: list[bool] = []

    def edit(block: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if block != 1:
            return y
        d = (o + x @ H) @ G.T
        cos = d @ a / np.linalg.norm(d, axis=1)
        n = d - np.outer(d @ a, a)
        n = n / np.linalg.norm(n, axis=1, keepdims=True)
        along, beside = cos[:, None] * a, (np.sqrt(1 - cos**2))[:, None] * n
        pushed = y + 2.0 * L * (along + (1 - penalty) * beside)
        wanting.extend(cos > 0)
        return np.where(cos[:, None] > 0, pushed, y)

    method = Cylinder(1, 2, 0.1, penalty)
    steering = fitted(model, tiny_tokenizer, method, pairs=pairs)
    close(steered(model, steering, 2.0), hooked(model, edit))
    assert steering.method == method
    assert all(wanting)


def test_a_state_whose_shift_points_away_from_the_axis_is_left_alone(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    """Made as long as all others it would be taken back to where undesired states are."""
    model, pairs = tiny_model("llama"), aligned(tiny_tokenizer)
    steering = fitted(model, tiny_tokenizer, Cylinder(1, 2, 0.1), pairs=pairs)
    c = steering.controller
    x = torch.randn(200, steering.provenance.n, generator=torch.Generator().manual_seed(0))
    x = 1e3 * x  # so far from the examples that the map says anything
    _, u = steering.method.law(c).step(None, x, torch.ones(200, 1), 1)
    along = (c.shifts[1, :, 0] + x @ c.H[1]) @ c.G[1].T @ c.plan[1, :, 0]
    assert u.any(dim=1).tolist() == (along > 0).tolist()
    assert 20 < int((along > 0).sum()) < 180
    length = c.plan[1].norm().expand(int((along > 0).sum()))
    torch.testing.assert_close(u[along > 0].norm(dim=1), length)
