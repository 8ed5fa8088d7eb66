"""Tiny models with random weights, one for each architecture, built from its configuration."""

from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

WIDTH, BLOCKS, VOCABULARY, WINDOW, CONTEXT = 32, 3, 99, 4, 64

_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": 4,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_LLAMA: dict[str, Any] = {
    **_COMMON,
    "intermediate_size": 48,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
}
_FULL: dict[str, Any] = {**_LLAMA, "num_key_value_heads": 4}
_EXPERTS: dict[str, Any] = {
    **_LLAMA,
    "moe_intermediate_size": 24,
    "num_experts_per_tok": 2,
}
_LATENT: dict[str, Any] = {
    **_EXPERTS,
    "num_key_value_heads": 4,
    "n_routed_experts": 4,
    "n_group": 2,
    "topk_group": 1,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "first_k_dense_replace": 1,
}
_GPT2: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "n_embd": WIDTH,
    "n_layer": BLOCKS,
    "n_head": 4,
    "n_positions": CONTEXT,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_OLD: dict[str, Any] = {**_COMMON, "intermediate_size": 48, "max_position_embeddings": CONTEXT}
_ALTERNATING = ["sliding_attention", "full_attention", "sliding_attention"]
_SLIDING: dict[str, Any] = {"sliding_window": WINDOW, "layer_types": _ALTERNATING}

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "llama": _LLAMA,
    "mistral": {**_LLAMA, "sliding_window": WINDOW},
    "mixtral": {**_EXPERTS, "num_local_experts": 4, "sliding_window": None},
    "qwen2": _LLAMA,
    "qwen2_moe": {**_EXPERTS, "num_experts": 4, "shared_expert_intermediate_size": 24},
    "qwen3": {**_LLAMA, "head_dim": 8},
    "qwen3_moe": {**_EXPERTS, "num_experts": 4, "head_dim": 8},
    "gemma": {**_LLAMA, "head_dim": 8},
    "gemma2": {**_LLAMA, **_SLIDING, "head_dim": 8, "query_pre_attn_scalar": 8},
    "gemma3_text": {**_LLAMA, **_SLIDING, "head_dim": 8, "query_pre_attn_scalar": 8},
    "phi": _FULL,
    "phi3": {**_LLAMA, "original_max_position_embeddings": CONTEXT},
    "gpt2": _GPT2,
    "gpt_neox": _OLD,
    "gptj": {**_GPT2, "rotary_dim": 8},
    "gpt_neo": {
        **_COMMON,
        "num_layers": BLOCKS,
        "num_heads": 4,
        "max_position_embeddings": CONTEXT,
        "attention_types": [[["global", "local", "global"], 1]],
        "window_size": WINDOW,
    },
    "gpt_bigcode": _GPT2,
    "codegen": {**_GPT2, "rotary_dim": 4},
    "olmo": _LLAMA,
    "olmo2": _LLAMA,
    "olmo3": {**_LLAMA, **_SLIDING},
    "falcon": {**_COMMON, "num_kv_heads": 2, "new_decoder_architecture": True, "alibi": False},
    "bloom": {**_COMMON, "n_head": 4},
    "mpt": {
        "vocab_size": VOCABULARY,
        "d_model": WIDTH,
        "n_layers": BLOCKS,
        "n_heads": 4,
        "max_seq_len": CONTEXT,
    },
    "opt": {**_OLD, "ffn_dim": 48, "word_embed_proj_dim": WIDTH},
    "persimmon": _OLD,
    "stablelm": {**_FULL, "use_qkv_bias": True},
    "smollm3": _LLAMA,
    "granite": _LLAMA,
    "cohere": _LLAMA,
    "cohere2": {**_LLAMA, **_SLIDING},
    "starcoder2": _LLAMA,
    "glm": {**_LLAMA, "head_dim": 8},
    "glm4": {**_LLAMA, "head_dim": 8},
    "helium": {**_LLAMA, "head_dim": 8},
    "nemotron": _LLAMA,
    "seed_oss": {**_LLAMA, "head_dim": 8},
    "apertus": _LLAMA,
    "arcee": _LLAMA,
    "exaone4": {**_LLAMA, **_SLIDING},
    "ernie4_5": {**_LLAMA, "head_dim": 8},
    "gpt_oss": {**_EXPERTS, **_SLIDING, "head_dim": 8, "num_local_experts": 4},
    "granitemoe": {**_EXPERTS, "num_local_experts": 4},
    "olmoe": {**_EXPERTS, "num_experts": 4},
    "deepseek_v2": _LATENT,
    "deepseek_v3": _LATENT,
    "ministral": {**_LLAMA, **_SLIDING, "head_dim": 8},
    "ministral3": {**_LLAMA, "head_dim": 8},
    "vaultgemma": {**_LLAMA, **_SLIDING, "head_dim": 8, "query_pre_attn_scalar": 8},
}
"""Model type -> what its configuration class is given."""


def tiny_model(model_type: str, *, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A model of three blocks and 32 channels, in evaluation mode, with weights worth testing.

    Norm weights and biases are drawn as well, so that no term of a Jacobian is absent by luck.
    """
    settings = {**CONFIGURATIONS[model_type], **changes}
    config = AutoConfig.for_model(model_type, **settings)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 1:
            parameter.data += 0.1 * noise
        else:
            parameter.data = noise / parameter.shape[-1] ** 0.5
    return model.eval()


_WORDS = """
    the a cat dog bird sat ran said and on in under mat tree house red blue warm cold good bad
    happy sad small big one two three four user assistant system question answer . , ! ? :
"""
_SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<turn>", "<end>"]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<turn> {{ m['role'] }} : {{ m['content'] | trim }} <end>"
    "{% endfor %}{% if add_generation_prompt %}<turn> assistant : {% endif %}"
)


def tiny_tokenizer(*, pad: bool) -> PreTrainedTokenizerFast:
    """A word-level tokenizer that puts `<s>` in front, with a chat template."""
    vocabulary = {word: index for index, word in enumerate([*_SPECIAL, *_WORDS.split()])}
    core = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = Split(" ", "removed")
    core.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>" if pad else None,
        extra_special_tokens=["<turn>", "<end>"],
        chat_template=CHAT_TEMPLATE,
    )
