"""Configurations with biases: what has to be switched on for a checkpoint to hold them."""

import copy
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from steersman.errors import ArtifactError

_SWITCH = "bias"


@dataclass(frozen=True)
class Places:
    """What has to be switched on, and which biases come with it.

    Args:
        switch: the configuration's field; None where nothing has to be.
        extra: shapes by name of the biases that come with it and are not asked for; they are zero.
    """

    switch: str | None
    extra: dict[str, tuple[int, ...]]


def places_for(config: Any, new: Collection[str], kind: type[nn.Module] | None) -> Places | None:
    """The switch of a configuration that gives a model these parameters, with fewest others.

    Each switch is tried on a model without weights, so that no list of architectures is needed.

    Args:
        config: of the model; only read.
        new: names of parameters that the model does not have.
        kind: the model's class; the causal language model of the configuration where None.

    Returns:
        The places; None where no switch gives them.
    """
    if not new:
        return Places(None, {})
    before = _shapes(config, kind)
    best: Places | None = None
    for switch in _switches(config):
        after = _shapes(switch_on(copy.deepcopy(config), switch), kind)
        extra = {name: shape for name, shape in after.items() if name not in before}
        if not set(new) <= set(extra) or not all(name.endswith(_SWITCH) for name in extra):
            continue
        others = {name: shape for name, shape in extra.items() if name not in new}
        if best is None or len(others) < len(best.extra):
            best = Places(switch, others)
    return best


def switch_on(config: Any, switch: str | None, *, untied: bool = False) -> Any:
    """Switch a field of a configuration on, and tell the head from the embedding where asked.

    Returns:
        The same configuration, changed.
    """
    for part in _parts(config):
        if switch is not None and hasattr(part, switch):
            setattr(part, switch, True)
        if untied:
            part.tie_word_embeddings = False
    return config


def config_of(folder: Path) -> Any:
    """The configuration in a checkpoint's folder.

    Raises:
        ArtifactError: there is none that can be read.
    """
    try:
        return AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{folder} holds no readable config.json: {error}.") from error


def _switches(config: Any) -> Iterator[str]:
    """Fields about biases that are off."""
    seen = {name for part in _parts(config) for name, v in part.to_dict().items() if v is False}
    return (name for name in sorted(seen) if _SWITCH in name)


def _parts(config: Any) -> tuple[Any, ...]:
    text = config.get_text_config()
    return (config,) if text is config else (config, text)


def _shapes(config: Any, kind: type[nn.Module] | None) -> dict[str, tuple[int, ...]]:
    build: Any = AutoModelForCausalLM.from_config if kind is None else kind
    with torch.device("meta"):
        model = build(copy.deepcopy(config))
    return {name: tuple(p.shape) for name, p in model.named_parameters()}
