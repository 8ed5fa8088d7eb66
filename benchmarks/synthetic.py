"""Steerings with random tensors: for timing and sizes, where only shapes count."""

from typing import Any

import torch

from steersman.directions import Direction, Features
from steersman.methods import ALQR, Controller
from steersman.provenance import Provenance
from steersman.steering import Steering


def random_steering(model: Any, *, strength: float) -> Steering:
    """A steering for `model` that adds `strength` of a random unit vector at each block."""
    config = model.config
    return steering_of(
        config.hidden_size,
        config.num_hidden_layers,
        vocabulary=config.vocab_size,
        model_type=config.model_type,
        strength=strength,
    )


def steering_of(
    n: int, blocks: int, *, vocabulary: int, model_type: str, strength: float = 0.1
) -> Steering:
    """An A-LQR steering of that shape, with random tensors.

    Args:
        n: width of the residual stream.
        blocks: how many blocks.
        vocabulary: tokens known to the model.
        model_type: the architecture.
        strength: length of what one unit of error or of target adds at a block.
    """
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(blocks + 1, n, generator=generator)
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    ones = torch.ones(blocks + 1)
    direction = Direction(vectors.clone(), vectors, ones, 0 * ones, 2 * ones, 0.2 * ones)
    inputs = strength * torch.randn(blocks, n, generator=generator) / n**0.5
    gains, shifts = inputs.unsqueeze(-1), torch.ones(blocks, 1, 1)
    controller = Controller(vectors[:-1, :, None], gains, gains, shifts)
    record = Provenance(
        model="random",
        revision="",
        model_type=model_type,
        blocks=blocks,
        n=n,
        vocab_size=vocabulary,
        tokenizer_hash="0" * 64,
        pairs_hash={"feature": "0" * 64},
        pairs={"feature": (100, 100)},
        positions="last",
        jacobian_prompts=32,
        decision_tokens=(5, 6, 7),
    )
    return Steering(Features.of(direction), controller, ALQR(), record)
