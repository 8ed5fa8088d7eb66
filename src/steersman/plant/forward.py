"""What one forward of a model needs, whatever the model accepts."""

import inspect
from typing import Any

import torch
from torch import nn

from steersman.errors import InputError
from steersman.plant.blocks import Blocks, unwrap
from steersman.plant.tokens import Encoded


def forward_arguments(model: nn.Module, encoded: Encoded) -> dict[str, Any]:
    """The keyword arguments of a forward over `encoded`, as far as the model has them.

    Positions are counted from each row's first real token, so that padding does not move them.
    """
    accepted = _parameters(model)
    arguments: dict[str, Any] = {
        "input_ids": encoded.input_ids,
        "attention_mask": encoded.attention_mask,
        "position_ids": encoded.position_ids,
        "use_cache": False,
    }
    kept = {name: value for name, value in arguments.items() if name in accepted}
    return kept | last_logits_only(model)


def last_logits_only(model: nn.Module) -> dict[str, Any]:
    """Ask for the logits of the last token alone where that is possible: nobody reads them here."""
    return {"logits_to_keep": 1} if accepts(model, "logits_to_keep") else {}


def without_head(model: nn.Module) -> nn.Module:
    """The part of `model` that ends with its blocks, where nobody reads logits."""
    bare = unwrap(model)
    body = getattr(bare, "base_model", bare)
    return body if isinstance(body, nn.Module) else bare


def accepts(model: nn.Module, name: str) -> bool:
    """Whether the forward of `model` has a parameter called `name`."""
    return name in _parameters(model)


def require_evaluation(model: nn.Module) -> None:
    """Refuse a model in training mode.

    Raises:
        InputError: dropout would make every state and Jacobian random.
    """
    if model.training:
        raise InputError(
            f"{type(model).__name__} is in training mode, so dropout would make its states random: "
            "call model.eval() first"
        )


def input_device(blocks: Blocks) -> torch.device:
    """Where token ids must be: with the embedding, also when its weights are offloaded."""
    weight = next(blocks.embed.parameters(), None)
    if weight is not None and weight.device.type != "meta":
        return weight.device
    hook = getattr(blocks.embed, "_hf_hook", None)
    return torch.device(getattr(hook, "execution_device", None) or "cpu")


def _parameters(model: nn.Module) -> frozenset[str]:
    return frozenset(inspect.signature(unwrap(model).forward).parameters)
