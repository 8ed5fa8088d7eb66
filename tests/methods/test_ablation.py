"""Directional ablation against the projection written out in hooks."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hooked import close, fitted, hooked, sides, steered
from small_evidence import BLOCKS, LinearWorld
from transformers import PreTrainedModel

from steersman.directions import Features
from steersman.errors import InputError
from steersman.methods import Ablation, Evidence

Models = Callable[[str], PreTrainedModel]
WORLD = LinearWorld.random()


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("target", [1.0, 0.4])
def test_the_direction_of_one_state_is_taken_out_of_every_output(
    name: str, target: float, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model(name)
    desired, undesired = sides(model, tiny_tokenizer)
    r = desired[:, 2].mean(0) - undesired[:, 2].mean(0)
    r = r / np.linalg.norm(r)
    expected = hooked(model, lambda block, x, y: y - target * np.outer(y @ r, r))
    close(steered(model, fitted(model, tiny_tokenizer, Ablation(state=2)), target), expected)


def test_behind_every_block_the_feature_is_zero_and_again_is_the_same(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, Ablation(state=1))
    r = steering.controller.own["v"][0].double().numpy()
    seen: list[float] = []

    def look(block: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        seen.extend(np.abs(x @ r) if block else ())
        return y

    with steering.attach(model, 1.0, tokens="all", trace=False):
        twice = hooked(model, look)
    # The hooks of this test run behind those of the steering, and see what it has left.
    assert max(seen) < 1e-5
    close(steered(model, steering), twice)


def test_the_direction_is_the_best_one_before_four_fifths_of_the_depth() -> None:
    d = torch.tensor([9.0, 1.0, 2.0, 3.0, 7.0, 8.0]).double()
    direction = replace(WORLD.direction, separation=d)
    made = Ablation().solve(Evidence(Features.of(direction)))
    assert torch.equal(made.own["v"], direction.vectors[3].float().expand(BLOCKS, -1))


def test_a_state_that_is_not_there_or_shows_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"state is 6; there are states 0 \.\. 5"):
        Ablation(state=6).solve(WORLD.evidence)
    one = WORLD.direction
    v = one.vectors.clone()
    v[2] = 0
    with pytest.raises(InputError, match="nothing to ablate"):
        Ablation(state=2).solve(Evidence(Features.of(replace(one, vectors=v))))
