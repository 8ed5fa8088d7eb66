"""Describe a loaded model and its tokenizer, for a person who wants to know what they have."""

from collections import Counter
from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedTokenizerBase

from steersman.plant.blocks import Blocks, locate, model_type, text_config, unwrap
from steersman.plant.hooks import owners


@dataclass(frozen=True)
class Info:
    """What a model is, as far as steering is concerned.

    Args:
        model_class: the class that was loaded.
        model_type: what its configuration calls it.
        blocks: how many decoder blocks, T.
        n: width of the residual stream.
        path: where the blocks are.
        source: whether the table knows them, or they were found and proved.
        context: the longest sequence in tokens; None without a limit.
        vocabulary: how many tokens it knows.
        parameters: how many numbers it has been trained to, as stored.
        dtypes: precision of its parameters, most frequent first.
        devices: where its parameters are, most frequent first.
        attention: which attention implementation runs.
        quantization: the method its weights were quantised with, None without.
        training: whether it is in training mode.
        steered: whether a steering is attached.
        chat_template: whether the tokenizer can render conversations; None without a tokenizer.
        padding_side: the tokenizer's own setting; None without a tokenizer.
        has_pad_token: whether the tokenizer names a pad token; None without a tokenizer.
    """

    model_class: str
    model_type: str
    blocks: int
    n: int
    path: str
    source: str
    context: int | None
    vocabulary: int
    parameters: int
    dtypes: tuple[str, ...]
    devices: tuple[str, ...]
    attention: str
    quantization: str | None
    training: bool
    steered: bool
    chat_template: bool | None
    padding_side: str | None
    has_pad_token: bool | None


def describe(model: nn.Module, tokenizer: PreTrainedTokenizerBase | None = None) -> Info:
    """Describe a model and its tokenizer; nothing is changed.

    Args:
        model: a transformers model.
        tokenizer: its tokenizer, if there is one.

    Returns:
        What was found.

    Raises:
        ArchitectureError: the decoder blocks are not found.
    """
    blocks = locate(model)
    return Info(
        model_class=type(model).__name__,
        model_type=model_type(model),
        blocks=len(blocks),
        n=blocks.n,
        path=blocks.path,
        source=blocks.source,
        context=blocks.context,
        vocabulary=_vocabulary(model, blocks),
        parameters=sum(p.numel() for p in model.parameters()),
        dtypes=_ranked([str(p.dtype).removeprefix("torch.") for p in model.parameters()]),
        devices=_ranked([str(p.device) for p in model.parameters()]),
        attention=str(getattr(text_config(model), "_attn_implementation", None) or "unknown"),
        quantization=_quantization(model),
        training=model.training,
        steered=any(owners(module) for module in blocks.modules),
        chat_template=None if tokenizer is None else bool(tokenizer.chat_template),
        padding_side=None if tokenizer is None else str(tokenizer.padding_side),
        has_pad_token=None if tokenizer is None else tokenizer.pad_token_id is not None,
    )


def _ranked(names: list[str]) -> tuple[str, ...]:
    return tuple(name for name, _ in Counter(names).most_common())


def _vocabulary(model: nn.Module, blocks: Blocks) -> int:
    size = getattr(text_config(model), "vocab_size", None)
    return size if isinstance(size, int) else int(next(blocks.embed.parameters()).shape[0])


def _quantization(model: nn.Module) -> str | None:
    config = getattr(getattr(unwrap(model), "config", None), "quantization_config", None)
    if config is None:
        return None
    method = config.get("quant_method") if isinstance(config, dict) else config.quant_method
    return str(getattr(method, "value", method))
