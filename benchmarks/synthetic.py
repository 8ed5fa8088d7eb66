"""Steerings with random tensors: for timing and sizes, where only shapes count."""

from collections.abc import Callable
from typing import Any

import torch

from steersman.directions import Direction, Features
from steersman.methods import ALQR, SPID, AngularSteering, Controller, Counterfactual, Method
from steersman.provenance import Provenance
from steersman.steering import Steering

RANK = 8
"""Of the counterfactual map."""


def random_steering(model: Any, *, strength: float, method: str = "a-lqr") -> Steering:
    """A steering for `model` that adds about `strength` of a random unit vector at each block.

    Args:
        model: the model.
        strength: length of what one unit of error or of target adds at a block.
        method: whose law it has.
    """
    config = model.config
    made = steering_of(
        config.hidden_size,
        config.num_hidden_layers,
        vocabulary=config.vocab_size,
        model_type=config.model_type,
        strength=strength,
    )
    law, controller = _LAWS[method](made.controller)
    return Steering(made.features, controller, law, made.provenance)


def _turning(known: Controller) -> tuple[Method, Controller]:
    """In the plane of the direction and the gain at each block."""
    H = torch.linalg.qr(torch.cat([known.H, known.G], dim=2)).Q
    angles = torch.tensor([0.0, 0.1])[:, None].expand(len(H), 2, 1)
    return AngularSteering(), Controller(H, H, torch.zeros_like(known.plan), angles)


def _mapping(known: Controller) -> tuple[Method, Controller]:
    """A low-rank map at the middle block, and nothing elsewhere."""
    blocks, n, _ = known.H.shape
    here = torch.zeros(blocks, 1, 1)
    here[blocks // 2] = 1
    H, G = (part.expand(blocks, n, RANK + 1) / (RANK + 1) * here for part in (known.H, known.G))
    offset = torch.cat([torch.zeros(RANK, 1), torch.ones(1, 1)])
    controller = Controller(H, G, known.plan * here, offset * here)
    return Counterfactual(block=blocks // 2, rank=RANK, ridge=0.1), controller


_LAWS: dict[str, Callable[[Controller], tuple[Method, Controller]]] = {
    "a-lqr": lambda known: (ALQR(), known),
    "s-pid": lambda known: (SPID(), known),
    "angular": _turning,
    "counterfactual": _mapping,
}


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
