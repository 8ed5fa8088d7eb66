"""The one table of what writes into the residual stream: model type -> output projections.

A block adds to the residual stream what its attention's and its MLP's last linear maps put out.
Paths of those maps are relative to a block; they lead to a module, or to a parameter that holds
the maps of several experts. What a block does not have is left out, so that dense blocks and
blocks of experts share one entry. A new architecture is one line here.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Outputs:
    """What the blocks of an architecture write with.

    Args:
        attention: paths of the attention's output projection.
        mlp: paths of the MLP's output projections, shared experts after routed ones.
        transposed: whether experts keep their maps as `(experts, in, out)`.
    """

    attention: tuple[str, ...]
    mlp: tuple[str, ...]
    transposed: bool = False


_EXPERTS = ("mlp.experts.down_proj", "mlp.shared_experts.down_proj", "mlp.shared_expert.down_proj")
_LLAMA = Outputs(("self_attn.o_proj",), (*_EXPERTS, "mlp.down_proj"))
_GPT2 = Outputs(("attn.c_proj",), ("mlp.c_proj",))
_GPTJ = Outputs(("attn.out_proj",), ("mlp.fc_out",))
_FALCON = Outputs(("self_attention.dense",), ("mlp.dense_4h_to_h",))

_LLAMA_LIKE = (
    *("apertus", "arcee", "cohere", "cohere2", "deepseek_v2", "deepseek_v3", "ernie4_5"),
    *("exaone4", "gemma", "gemma2", "gemma3", "gemma3_text", "glm", "glm4", "granite", "helium"),
    *("llama", "ministral", "ministral3", "mistral", "mixtral", "nemotron", "olmo", "olmo2"),
    *("olmo3", "olmoe", "phi3", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "seed_oss"),
    *("smollm3", "stablelm", "vaultgemma"),
)

OUTPUTS: dict[str, Outputs] = {
    **dict.fromkeys(_LLAMA_LIKE, _LLAMA),
    "bloom": _FALCON,
    "codegen": _GPTJ,
    "falcon": _FALCON,
    "gpt2": _GPT2,
    "gpt_bigcode": _GPT2,
    "gpt_neo": Outputs(("attn.attention.out_proj",), ("mlp.c_proj",)),
    "gpt_neox": Outputs(("attention.dense",), ("mlp.dense_4h_to_h",)),
    "gpt_oss": Outputs(("self_attn.o_proj",), ("mlp.experts.down_proj",), transposed=True),
    "gptj": _GPTJ,
    "granitemoe": Outputs(("self_attn.o_proj",), ("block_sparse_moe.experts.down_proj",)),
    "mpt": Outputs(("attn.out_proj",), ("ffn.down_proj",)),
    "opt": Outputs(("self_attn.out_proj",), ("fc2",)),
    "persimmon": Outputs(("self_attn.dense",), ("mlp.dense_4h_to_h",)),
    "phi": Outputs(("self_attn.dense",), ("mlp.fc2",)),
    "starcoder2": Outputs(("self_attn.o_proj",), ("mlp.c_proj",)),
}
"""Every model type whose output projections are known by name."""
