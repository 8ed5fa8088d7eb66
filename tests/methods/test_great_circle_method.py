"""The turn toward the contrast in front of a model, and what a unit of it is."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hooked import close, fitted, hooked, sides, steered
from transformers import PreTrainedModel

from steersman.methods import GreatCircle

Models = Callable[[str], PreTrainedModel]


def angle(x: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.arccos(x @ v / np.linalg.norm(x, axis=-1))


@pytest.mark.parametrize("target", [1.0, 0.3])
def test_every_token_turns_by_the_share_that_one_mean_takes_to_the_other(
    target: float, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    up, down = (side[:, 2].mean(0) for side in sides(model, tiny_tokenizer))
    v = (up - down) / np.linalg.norm(up - down)
    share = target * (1 - angle(up, v) / angle(down, v))

    def edit(block: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if block != 1:
            return y
        theta, size = angle(y, v)[:, None], np.linalg.norm(y, axis=1, keepdims=True)
        mixed = np.sin((1 - share) * theta) * y / size + np.sin(share * theta) * v
        new = size * mixed / np.sin(theta)
        np.testing.assert_allclose(np.linalg.norm(new, axis=1), size[:, 0])
        return new

    steering = fitted(model, tiny_tokenizer, GreatCircle(block=1))
    close(steered(model, steering, target), hooked(model, edit))
    # One unit turns the undesired mean to the desired mean's angle.
    unit = float(steering.controller.own["unit"])
    assert (1 - unit) * angle(down, v) == pytest.approx(angle(up, v), rel=1e-4)
    # The published share is the target divided by that.
    assert 0 < unit < 1
