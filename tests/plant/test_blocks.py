"""Decoder blocks are found in every architecture of the table, and in ones outside it."""

from typing import Any

import pytest
import torch
from tiny_models import BLOCKS, CONFIGURATIONS, CONTEXT, VOCABULARY, WIDTH
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

from steersman.errors import ArchitectureError
from steersman.plant import hooks
from steersman.plant.architectures import ARCHITECTURES
from steersman.plant.blocks import locate
from steersman.plant.proof import prove

TOKENS = torch.tensor([[1, 7, 9, 11]])


def test_every_architecture_of_the_table_has_a_tiny_model() -> None:
    assert set(ARCHITECTURES) - {"gemma3"} == set(CONFIGURATIONS)


@pytest.mark.parametrize("model_type", sorted(CONFIGURATIONS))
def test_the_table_agrees_with_the_proof_by_a_forward(model_type: str, tiny_model: Any) -> None:
    model = tiny_model(model_type)
    blocks = locate(model)
    path, modules = prove(model, VOCABULARY, torch.device("cpu"))
    assert blocks.source == "table"
    assert (len(blocks), blocks.n) == (BLOCKS, WIDTH)
    assert blocks.path == path
    assert blocks.modules == tuple(modules)
    assert blocks.embed is model.get_input_embeddings()


@pytest.mark.parametrize("model_type", sorted(CONFIGURATIONS))
def test_the_final_norm_receives_the_output_of_the_last_block(
    model_type: str, tiny_model: Any
) -> None:
    blocks = locate(tiny_model(model_type))
    seen: list[torch.Tensor] = []
    with hooks.HookSet() as watch, torch.no_grad():
        watch.after(blocks.modules[-1], lambda a, k, out: seen.append(hooks.hidden_out(out)))
        assert blocks.final_norm is not None
        watch.before(blocks.final_norm, lambda a, k: seen.append(hooks.hidden_in(a, k)))
        tiny_model(model_type)(input_ids=TOKENS)
    assert torch.equal(seen[0], seen[1])


def test_the_context_is_what_the_configuration_says(tiny_model: Any) -> None:
    assert locate(tiny_model("llama")).context == CONTEXT
    assert locate(tiny_model("gpt2")).context == CONTEXT
    assert locate(tiny_model("bloom")).context is None


def test_a_classifier_and_the_bare_base_model_share_the_entry(tiny_model: Any) -> None:
    config = LlamaConfig(**CONFIGURATIONS["llama"])
    classifier = AutoModelForSequenceClassification.from_config(config)
    assert locate(classifier).path == "model.layers"
    assert locate(tiny_model("llama").model).path == "layers"


def test_the_text_tower_of_a_multimodal_model_is_found() -> None:
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 8,
    }
    model = Gemma3ForConditionalGeneration(
        Gemma3Config(
            text_config=CONFIGURATIONS["gemma3_text"],
            vision_config=vision,
            mm_tokens_per_image=4,
            image_token_index=98,
            boi_token_index=97,
            eoi_token_index=96,
        )
    ).eval()
    blocks = locate(model)
    assert (blocks.path, blocks.source, blocks.n) == ("model.language_model.layers", "table", WIDTH)
    assert prove(model, VOCABULARY, torch.device("cpu"))[0] == blocks.path


class _Wrapper(nn.Module):
    """A wrapper of the shape PEFT has."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base

    def get_base_model(self) -> nn.Module:
        return self.base


def test_a_wrapped_model_is_located_in_its_base_model(tiny_model: Any) -> None:
    model = tiny_model("qwen2")
    assert locate(_Wrapper(model)).modules == locate(model).modules


class _HomeMadeConfig(PreTrainedConfig):
    model_type = "home_made"


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.ModuleList([nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        return x + self.mix[1](self.mix[0](x)).tanh(), None


class _HomeMade(PreTrainedModel):
    """A model no table knows, with a list inside each of its blocks."""

    config_class = _HomeMadeConfig

    def __init__(self, towers: int = 1, broken: bool = False) -> None:
        super().__init__(_HomeMadeConfig())
        self.table = nn.Embedding(VOCABULARY, WIDTH)
        self.towers = nn.ModuleDict(
            {str(i): nn.ModuleList([_Layer() for _ in range(4)]) for i in range(towers)}
        )
        self.broken = broken

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        x = self.table(input_ids)
        for tower in self.towers.values():
            for layer in tower:
                x = layer(x)[0]
                x = x + 1 if self.broken else x
        return x


def test_a_model_outside_the_table_is_found_by_shape_and_proved() -> None:
    model = _HomeMade().eval()
    blocks = locate(model)
    assert (blocks.path, blocks.source, blocks.n, len(blocks)) == ("towers.0", "found", WIDTH, 4)
    assert blocks.modules == tuple(model.towers["0"])
    assert not any(hooks.hooked(module) for module in model.modules())


def test_blocks_whose_outputs_are_changed_in_between_are_refused() -> None:
    with pytest.raises(ArchitectureError, match=r"_HomeMade.*no list.*towers\.0: 4 x _Layer"):
        locate(_HomeMade(broken=True))


def test_two_lists_that_both_could_be_the_blocks_are_refused() -> None:
    with pytest.raises(ArchitectureError, match=r"more than one.*towers\.0, towers\.1"):
        locate(_HomeMade(towers=2))


def test_something_that_is_no_language_model_is_refused_by_name() -> None:
    with pytest.raises(ArchitectureError, match="Sequential.*no token embedding.*Linear"):
        locate(nn.Sequential(nn.Linear(2, 2)))


def test_a_model_that_cannot_take_token_ids_is_refused_with_the_reason() -> None:
    with pytest.raises(ArchitectureError, match="trial forward.*unexpected keyword"):
        locate(nn.Sequential(nn.Embedding(9, 2), nn.Linear(2, 2)))
