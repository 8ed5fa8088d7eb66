"""Places inside blocks: found in every architecture, read and replaced where they are."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_models import CONFIGURATIONS
from torch import Tensor
from transformers import PreTrainedModel

from steersman.errors import ArchitectureError, InputError
from steersman.plant import HookSet, Site, capture_states, capture_with_sites, find_sites, locate

Models = Callable[[str], PreTrainedModel]
IDS = torch.arange(6, 14)[None]

BY_NAME: dict[str, dict[Site, str]] = {
    "llama": {"heads": "self_attn.o_proj", "mlp": "mlp.down_proj"},
    "gpt2": {"heads": "attn.c_proj", "attention-norm": "ln_1", "mlp-norm": "ln_2"},
    "gemma2": {"attention-norm": "input_layernorm", "mlp-norm": "pre_feedforward_layernorm"},
    "opt": {"mlp": "fc2", "attention-norm": "self_attn_layer_norm", "mlp-norm": "final_layer_norm"},
    "gpt_neox": {"attention-norm": "input_layernorm", "mlp-norm": "post_attention_layernorm"},
    "mixtral": {"heads": "self_attn.o_proj", "mlp-norm": "post_attention_layernorm"},
    "phi": {"attention-norm": "input_layernorm", "mlp-norm": "input_layernorm"},
}
"""What is where, by the source of the model; phi runs both parts behind one norm."""


@pytest.mark.parametrize("kind", list(BY_NAME))
def test_a_site_is_the_module_that_the_source_says(kind: str, tiny_model: Models) -> None:
    model = tiny_model(kind)
    for site, path in BY_NAME[kind].items():
        found = find_sites(model, site).modules
        for block, module in zip(locate(model).modules, found, strict=True):
            assert module is block.get_submodule(path)


@pytest.mark.parametrize("kind", list(CONFIGURATIONS))
def test_the_heads_of_every_architecture_are_all_that_its_attention_is_made_of(
    kind: str, tiny_model: Models
) -> None:
    model: Any = tiny_model(kind)
    heads, attention = find_sites(model, "heads"), find_sites(model, "attention")
    assert heads.width % heads.heads == 0
    written: list[Tensor] = []
    with torch.no_grad(), HookSet() as hooks:
        heads.change(hooks, lambda t, z: torch.zeros_like(z))
        attention.look(hooks, lambda t, z: written.append(z))
        model(IDS)
    assert len(written) == len(locate(model))
    for z in written:  # a bias at most is left, the same for every token
        torch.testing.assert_close(
            z.reshape(-1, z.shape[-1]), z.reshape(-1, z.shape[-1])[:1].expand(8, -1)
        )


@pytest.mark.parametrize("kind", list(CONFIGURATIONS))
@pytest.mark.parametrize("site", ["attention", "mlp", "attention-norm", "mlp-norm"])
def test_a_site_is_replaced_or_said_to_be_missing(
    kind: str, site: Site, tiny_model: Models
) -> None:
    model: Any = tiny_model(kind)
    with torch.no_grad():
        bare = model(IDS).logits
    try:
        found = find_sites(model, site)
    except ArchitectureError as error:
        assert "steer" in str(error)
        assert site != "attention" and (site.endswith("norm") or "no single place" in str(error))
        return
    with torch.no_grad(), HookSet() as hooks:
        found.change(hooks, lambda t, z: None)
        assert torch.equal(model(IDS).logits, bare)
    with torch.no_grad(), HookSet() as hooks:
        found.change(hooks, lambda t, z: z + 1.5 * torch.arange(z.shape[-1]).to(z) / z.shape[-1])
        assert not torch.allclose(model(IDS).logits, bare, atol=1e-4)
    with torch.no_grad():
        assert torch.equal(model(IDS).logits, bare)


def test_models_that_norm_what_their_parts_put_out_have_no_norm_in_front(
    tiny_model: Models,
) -> None:
    with pytest.raises(ArchitectureError, match=r"no normalisation in front of the mlp.*olmo2"):
        find_sites(tiny_model("olmo2"), "mlp-norm")


def test_several_experts_are_no_single_place(tiny_model: Models) -> None:
    with pytest.raises(ArchitectureError, match="several experts"):
        find_sites(tiny_model("mixtral"), "mlp")


def test_the_residual_stream_has_no_module(tiny_model: Models) -> None:
    with pytest.raises(InputError, match="at every block"):
        find_sites(tiny_model("llama"), "block")


@pytest.mark.parametrize("kind", ["llama", "opt", "qwen3"])
def test_sites_are_read_in_the_pass_that_reads_the_states_whatever_the_batches(
    kind: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model: Any = tiny_model(kind)
    words = [w for w in sorted(tiny_tokenizer.get_vocab()) if w.isalpha()]
    texts = [" ".join(words[: 2 + i]) for i in range(5)]
    sites, expected = find_sites(model, "heads"), []
    for text in texts:
        seen: list[Tensor] = []
        with torch.no_grad(), HookSet() as hooks:
            sites.look(hooks, lambda t, z, seen=seen: seen.append(z.reshape(-1, z.shape[-1])[-1]))
            model(tiny_tokenizer(text, return_tensors="pt")["input_ids"])
        expected.append(torch.stack(seen))
    states, parts = capture_with_sites(model, tiny_tokenizer, texts, None, sites, batch_size=2)
    torch.testing.assert_close(parts, torch.stack(expected), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(states, capture_states(model, tiny_tokenizer, texts, batch_size=2))
