"""A model is described and recognised without being changed."""

from typing import Any

import torch
from tiny_models import BLOCKS, CONTEXT, VOCABULARY, WIDTH
from tiny_models import tiny_model as fresh_model

from steersman.plant.fingerprint import fingerprint
from steersman.plant.hooks import HookSet
from steersman.plant.info import describe


def test_a_model_and_its_tokenizer_are_described(
    tiny_model: Any, tiny_tokenizer_without_pad: Any
) -> None:
    info = describe(tiny_model("gemma2"), tiny_tokenizer_without_pad)
    assert (info.model_class, info.model_type) == ("Gemma2ForCausalLM", "gemma2")
    assert (info.blocks, info.n, info.path, info.source) == (BLOCKS, WIDTH, "model.layers", "table")
    assert (info.context, info.vocabulary) == (CONTEXT, VOCABULARY)
    assert info.parameters == sum(p.numel() for p in tiny_model("gemma2").parameters())
    assert (info.dtypes, info.devices) == (("float32",), ("cpu",))
    assert (info.attention, info.quantization) == ("eager", None)
    assert (info.training, info.steered) == (False, False)
    assert (info.chat_template, info.has_pad_token) == (True, False)
    assert info.padding_side in ("left", "right")


def test_a_model_without_tokenizer_is_described_too(tiny_model: Any) -> None:
    info = describe(tiny_model("gpt2"))
    assert (info.chat_template, info.padding_side, info.has_pad_token) == (None, None, None)


def test_mixed_precision_a_steering_and_a_quantisation_are_seen() -> None:
    model = fresh_model("llama").train()
    model.lm_head.to(torch.bfloat16)
    model.config.quantization_config = {"quant_method": "nf4"}
    with HookSet(owner="a steering") as hooks:
        hooks.after(model.model.layers[0], lambda args, kwargs, output: None)
        info = describe(model)
    assert info.dtypes == ("float32", "bfloat16")
    assert (info.training, info.steered, info.quantization) == (True, True, "nf4")


def test_the_fingerprint_is_that_of_the_weights_and_the_configuration(tiny_model: Any) -> None:
    first = fingerprint(tiny_model("llama"))
    assert first == fingerprint(fresh_model("llama"))
    assert first != fingerprint(fresh_model("llama", seed=1))
    assert first != fingerprint(fresh_model("llama", rms_norm_eps=1e-3))
    assert first != fingerprint(fresh_model("llama").to(torch.bfloat16))
    moved = fresh_model("llama", attn_implementation="eager")
    moved.config._name_or_path = "somewhere/else"
    assert first == fingerprint(moved)


def test_the_last_entry_of_a_weight_beyond_float32s_whole_numbers_counts() -> None:
    count = 4096 * 11008
    assert float(torch.tensor(count - 1.0)) == count
    model = torch.nn.Module()
    model.weight = torch.nn.Parameter(torch.ones(1).expand(count))  # one number of memory
    first = fingerprint(model)
    model.weight = torch.nn.Parameter(torch.zeros(1).expand(count))
    assert fingerprint(model) != first


class Scaled(torch.Tensor):
    """A weight in two parts, as quantisation keeps it, that knows no operation at all."""

    @staticmethod
    def __new__(cls, codes: torch.Tensor, scale: torch.Tensor) -> "Scaled":
        made = torch.Tensor._make_wrapper_subclass(cls, codes.shape, dtype=scale.dtype)
        made.codes, made.scale = codes, scale
        return made

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["codes", "scale"], None

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any, kwargs: Any = None) -> Any:
        if func is torch.ops.aten.detach.default:
            return Scaled(args[0].codes, args[0].scale)
        raise NotImplementedError(func)


def test_a_weight_in_parts_counts_by_its_parts() -> None:
    def found(codes: int, scale: float) -> str:
        model = fresh_model("llama")
        parts = torch.full((4, 4), codes, dtype=torch.int8), torch.full((4, 1), scale)
        model.model.norm.register_parameter("extra", torch.nn.Parameter(Scaled(*parts), False))
        return fingerprint(model)

    assert found(1, 0.5) == found(1, 0.5)
    assert len({found(1, 0.5), found(2, 0.5), found(1, 0.6)}) == 3
