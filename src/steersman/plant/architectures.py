"""The one table of architectures: model type -> where its decoder blocks are.

Paths are relative to the base model (`model.base_model` in transformers), so that a causal
language model, a classifier and the bare base model of one type share one entry. A new architecture
is one line here, and one line in the tests that prove it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """Where the parts of a decoder-only transformer are, relative to its base model.

    Args:
        blocks: path of the list of decoder blocks, in the order they run.
        embed: path of the token embedding.
        final_norm: path of the norm applied to the output of the last block, None without one.
    """

    blocks: str
    embed: str
    final_norm: str | None


_LLAMA = Layout("layers", "embed_tokens", "norm")
_PHI = Layout("layers", "embed_tokens", "final_layernorm")
_GPT2 = Layout("h", "wte", "ln_f")
_BLOOM = Layout("h", "word_embeddings", "ln_f")
_MULTIMODAL = Layout("language_model.layers", "language_model.embed_tokens", "language_model.norm")

_LLAMA_LIKE = (
    "apertus",
    "arcee",
    "cohere",
    "cohere2",
    "deepseek_v2",
    "deepseek_v3",
    "ernie4_5",
    "exaone4",
    "gemma",
    "gemma2",
    "gemma3_text",
    "glm",
    "glm4",
    "gpt_oss",
    "granite",
    "granitemoe",
    "helium",
    "llama",
    "ministral",
    "ministral3",
    "mistral",
    "mixtral",
    "nemotron",
    "olmo",
    "olmo2",
    "olmo3",
    "olmoe",
    "phi3",
    "qwen2",
    "qwen2_moe",
    "qwen3",
    "qwen3_moe",
    "seed_oss",
    "smollm3",
    "stablelm",
    "starcoder2",
    "vaultgemma",
)

ARCHITECTURES: dict[str, Layout] = {
    **dict.fromkeys(_LLAMA_LIKE, _LLAMA),
    "bloom": _BLOOM,
    "codegen": _GPT2,
    "falcon": _BLOOM,
    "gemma3": _MULTIMODAL,
    "gpt2": _GPT2,
    "gpt_bigcode": _GPT2,
    "gpt_neo": _GPT2,
    "gpt_neox": Layout("layers", "embed_in", "final_layer_norm"),
    "gptj": _GPT2,
    "mpt": Layout("blocks", "wte", "norm_f"),
    "opt": Layout("decoder.layers", "decoder.embed_tokens", "decoder.final_layer_norm"),
    "persimmon": _PHI,
    "phi": _PHI,
}
"""Every model type whose decoder blocks are known by name."""
