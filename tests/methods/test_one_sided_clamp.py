"""The feature held at or beyond a value behind each block."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hooked import IDS, close, fitted, hooked, sides, steered
from transformers import PreTrainedModel

from steersman.methods import OneSidedClamp
from steersman.plant import HookSet, hidden_out, locate

Models = Callable[[str], PreTrainedModel]


@pytest.mark.parametrize("side", ["below", "above", "both"])
@pytest.mark.parametrize("blocks", [(), (0, 1)])
def test_an_absolute_target_lies_between_the_two_means(
    side: Any, blocks: tuple[int, ...], tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model, target = tiny_model("llama"), 0.8
    up, down = sides(model, tiny_tokenizer)
    held = {"below": np.maximum, "above": np.minimum, "both": lambda p, s: np.full_like(p, s)}

    def edit(block: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if block not in (blocks or (2,)):
            return y
        a, b = up[:, block + 1].mean(0), down[:, block + 1].mean(0)
        v = (a - b) / np.linalg.norm(a - b)
        s = b @ v + target * (a - b) @ v
        return y + np.outer(held[side](y @ v, s) - y @ v, v)

    steering = fitted(model, tiny_tokenizer, OneSidedClamp(blocks, side))
    close(steered(model, steering, target, reference="absolute"), hooked(model, edit))


def test_relative_it_holds_what_the_token_shows_unsteered_and_so_much_more(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("gpt2")
    steering = fitted(model, tiny_tokenizer, OneSidedClamp(blocks=(0, 2)))
    last: list[torch.Tensor] = []
    v, norm = steering.direction.vectors[-1], float(steering.direction.norm[-1])

    def final() -> torch.Tensor:
        with HookSet() as hooks, torch.no_grad():
            block = locate(model).modules[-1]
            hooks.after(block, lambda a, k, out: last.append(hidden_out(out)[0] @ v))
            model(IDS)
        return last[-1]

    bare = final()
    with steering.attach(model, 0.5, tokens="all", trace=False):
        found = final()
    assert bool((found >= bare + 0.5 * norm - 1e-4).all())
    with steering.attach(model, 0.0, tokens="all", trace=False), torch.no_grad():
        still = model(IDS).logits
    assert torch.equal(still, model(IDS).logits)
