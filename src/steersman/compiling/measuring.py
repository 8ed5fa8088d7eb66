"""How far a compiled model is from the steered one, in logits."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from steersman.compiling.delta import WeightDelta
from steersman.errors import InputError
from steersman.plant import Encoded, Example, encode, input_device, locate, require_evaluation
from steersman.plant.forward import forward_arguments

Attach = Callable[[], AbstractContextManager[Any]]


def compare(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[Example],
    delta: WeightDelta,
    attach: Attach,
) -> tuple[float, float]:
    """The largest difference of any logit at any token of the prompts, one prompt at a time.

    Args:
        model: the model; it is as it was afterwards.
        tokenizer: its tokenizer.
        prompts: texts or conversations.
        delta: the change of weights.
        attach: gives a fresh context in which the model is steered.

    Returns:
        Between the compiled and the steered model, and between the steered and the bare one.

    Raises:
        InputError: there is no prompt, or the model is in training mode.
    """
    if not prompts:
        raise InputError("give at least one prompt to measure on.")
    require_evaluation(model)
    difference = effect = 0.0
    for encoded in _each(model, tokenizer, prompts):
        bare = _logits(model, encoded)
        with attach():
            steered = _logits(model, encoded)
        with delta.apply(model):
            compiled = _logits(model, encoded)
        difference = max(difference, float((compiled - steered).abs().max()))
        effect = max(effect, float((steered - bare).abs().max()))
    return difference, effect


def _each(model: nn.Module, tokenizer: Any, prompts: Sequence[Example]) -> Iterator[Encoded]:
    blocks = locate(model)
    for prompt in prompts:
        yield encode(tokenizer, [prompt], max_length=blocks.context, device=input_device(blocks))


@torch.no_grad()
def _logits(model: nn.Module, encoded: Encoded) -> Tensor:
    arguments = forward_arguments(model, encoded)
    arguments.pop("logits_to_keep", None)
    return torch.as_tensor(model(**arguments).logits)
