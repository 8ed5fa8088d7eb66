"""So many standard deviations along the contrast, in hooks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hooked import close, fitted, hooked, sides, steered
from small_evidence import BLOCKS, randn
from transformers import PreTrainedModel

from steersman.directions import Features, contrast
from steersman.errors import InputError
from steersman.methods import Evidence, ITIResidual, Sides

Models = Callable[[str], PreTrainedModel]


@pytest.mark.parametrize("top", [1, 2])
def test_the_best_blocks_add_standard_deviations_of_what_the_examples_show(
    top: int, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, ITIResidual(top))
    desired, undesired = sides(model, tiny_tokenizer)
    best = steering.direction.separation[1:].argsort(descending=True)[:top].tolist()

    def edit(block: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if block not in best:
            return y
        c = desired[:, block + 1].mean(0) - undesired[:, block + 1].mean(0)
        v = c / np.linalg.norm(c)
        return y + 15 * (np.r_[desired, undesired][:, block + 1] @ v).std() * v

    close(steered(model, steering, 15.0), hooked(model, edit))


def test_the_push_is_the_same_whatever_the_contrast_measures() -> None:
    """A norm convention: the unit is a deviation, and not the length of the contrast."""
    base, shift = randn(0, 40, BLOCKS + 1, 8), randn(1, BLOCKS + 1, 8)
    lengths = []
    for much in (1.0, 0.5):
        some = Sides(base[:20] + much * shift, base[20:])
        made = ITIResidual().solve(Evidence(Features.of(contrast(*some)), sides=(some,)))
        block = made.active[0]
        v = (some.desired.mean(0) - some.undesired.mean(0))[block + 1]
        deviation = (torch.cat(list(some))[:, block + 1] @ (v / v.norm())).std(correction=0)
        lengths.append((float(made.plan[block].norm()), float(deviation)))
    for found, expected in lengths:
        assert found == pytest.approx(expected, rel=1e-5)


def test_more_blocks_than_there_are_are_refused(tiny_model: Models, tiny_tokenizer: Any) -> None:
    with pytest.raises(InputError, match="top is 4; the model has 3 blocks"):
        fitted(tiny_model("llama"), tiny_tokenizer, ITIResidual(4))
