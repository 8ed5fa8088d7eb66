"""Tiny models in float64 and steerings of them, made without a fit."""

from dataclasses import replace
from functools import cache
from typing import Any

import torch
from tiny_models import BLOCKS, VOCABULARY, WIDTH, tiny_model

import steersman as sm
from steersman.directions import ALONE, Features, contrast
from steersman.methods import Controller, Method
from steersman.plant import HookSet, hidden_out, locate, with_hidden
from steersman.provenance import Provenance

TOKENS = torch.tensor([[1, 7, 9, 11, 30, 4], [5, 6, 2, 40, 8, 3]])


@cache
def double(model_type: str) -> Any:
    """A tiny model in float64; never to be changed."""
    return tiny_model(model_type, experts_implementation="eager").double()


def logits(model: Any, tokens: torch.Tensor = TOKENS) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=tokens).logits


def schedule(seed: int = 5) -> torch.Tensor:
    """An input for every block."""
    return torch.randn(BLOCKS, WIDTH, generator=torch.Generator().manual_seed(seed)).double()


def added(model: Any, inputs: torch.Tensor) -> torch.Tensor:
    """The logits where plain hooks add `u_t` to the output of every block at every token."""
    with HookSet() as hooks:
        for t, block in enumerate(locate(model).modules):

            def add(args: Any, kwargs: Any, output: Any, t: int = t) -> Any:
                return with_hidden(output, hidden_out(output) + inputs[t])

            hooks.after(block, add)
        return logits(model)


def steering(
    model_type: str, method: Method | None = None, decision_tokens: tuple[int, ...] = ()
) -> sm.Steering:
    """A steering of one feature, float64, for a tiny model of that type."""
    seeded = torch.Generator().manual_seed(1)
    states = torch.randn(2, 6, BLOCKS + 1, WIDTH, generator=seeded).double()
    states[0] += 0.5
    features = Features({ALONE: contrast(states[0], states[1])})
    inputs = schedule()
    H = torch.randn(BLOCKS, WIDTH, 1, generator=seeded).double()
    controller = replace(Controller.schedule(inputs), H=H)
    made = Provenance(
        model="tiny",
        revision="",
        model_type=model_type,
        blocks=BLOCKS,
        n=WIDTH,
        vocab_size=VOCABULARY,
        tokenizer_hash="a" * 64,
        pairs_hash={ALONE: "b" * 64},
        pairs={ALONE: (6, 6)},
        positions="last",
        jacobian_prompts=0,
        decision_tokens=decision_tokens,
    )
    return sm.Steering(features, controller, method or sm.ALQR(), made)
