"""Llamas with random weights, in the proportions of Llama 3 8B."""

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

HEAD = 64


def random_llama(
    n: int, blocks: int, vocabulary: int, *, attention: str = "sdpa", seed: int = 0
) -> Any:
    """A float32 Llama whose blocks all do something: weights are drawn with unit gain.

    Args:
        n: width of the residual stream, a multiple of 256.
        blocks: how many blocks.
        vocabulary: tokens known.
        attention: "sdpa" or "eager".
        seed: of the weights.

    Returns:
        The model; typed as anything, because `generate` is mixed in at run time.
    """
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=n,
        intermediate_size=7 * n // 2,
        num_hidden_layers=blocks,
        num_attention_heads=n // HEAD,
        num_key_value_heads=max(1, n // HEAD // 4),
        head_dim=HEAD,
        max_position_embeddings=2048,
    )
    model: Any = LlamaForCausalLM(config)
    model.set_attn_implementation(attention)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data = noise / parameter.shape[-1] ** 0.5
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model.eval()
