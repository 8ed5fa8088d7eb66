"""AUSteer against its screening and gains written out in numpy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hooked import close, examples, fitted, hooked, sides, steered
from transformers import PreTrainedModel

import steersman as sm
from steersman.errors import InputError
from steersman.methods import AUSteer
from steersman.methods.austeer import momentum

Models = Callable[[str], PreTrainedModel]


def screened(desired: np.ndarray, undesired: np.ndarray) -> np.ndarray:
    """`beta` of the outputs, a coordinate at a time."""
    pairs, states, n = desired.shape
    beta = np.zeros((states - 1, n))
    for block in range(states - 1):
        for j in range(n):
            a, b = desired[:, block + 1, j], undesired[:, block + 1, j]
            more, less = int((a > b).sum()), int((a < b).sum())
            beta[block, j] = (-1 if more < less else 1) * max(more, less) / pairs
    return beta


@pytest.mark.parametrize("target", [1.0, 0.5])
def test_the_most_reliable_coordinates_of_all_blocks_are_multiplied(
    target: float, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    beta = screened(*sides(model, tiny_tokenizer))
    order = np.argsort(-np.abs(beta).ravel(), kind="stable")[:7]
    gain = np.zeros_like(beta)
    gain.ravel()[order] = 0.3 * beta.ravel()[order]
    steering = fitted(model, tiny_tokenizer, AUSteer(k=7, alpha=0.3))
    expected = hooked(model, lambda block, x, y: y * (1 + target * gain[block]))
    close(steered(model, steering, target), expected)


def test_the_momentum_counts_pairs_and_ties_count_for_neither() -> None:
    desired = torch.tensor([[1.0, 1.0, 0.0], [2.0, 1.0, 0.0], [3.0, 1.0, 5.0], [0.0, 1.0, 0.0]])
    undesired = torch.tensor([[0.0, 2.0, 0.0], [0.0, 2.0, 0.0], [0.0, 2.0, 0.0], [9.0, 0.0, 0.0]])
    assert momentum(desired[:, None], undesired[:, None]).tolist() == [[0.75, -0.75, 0.25]]


def test_only_outputs_are_screened_and_not_what_enters_the_first_block(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    both = map(torch.from_numpy, sides(model, tiny_tokenizer))
    found = momentum(*(side[:, 1:] for side in both))
    np.testing.assert_allclose(found.numpy(), screened(*sides(model, tiny_tokenizer)))


def test_sides_that_are_not_pairs_are_refused(tiny_model: Models, tiny_tokenizer: Any) -> None:
    pairs = examples(tiny_tokenizer)
    unpaired = sm.ContrastivePairs(pairs.desired[:5], pairs.undesired)
    with pytest.raises(InputError, match="5 desired and 8 undesired"):
        fitted(tiny_model("llama"), tiny_tokenizer, AUSteer(), pairs=unpaired)
    with pytest.raises(InputError, match="k is 0; there are 96 coordinates"):
        fitted(tiny_model("llama"), tiny_tokenizer, AUSteer(k=0))
