"""What writes into the residual stream is found in every architecture, and proved."""

from functools import cache
from typing import Any

import pytest
import torch
from tiny_models import BLOCKS, CONFIGURATIONS, VOCABULARY, WIDTH, tiny_model
from torch import nn
from transformers import OPTConfig, OPTForCausalLM, PreTrainedConfig, PreTrainedModel

from steersman.errors import ArchitectureError, AttachedError, InputError
from steersman.plant import HookSet, hidden_in, hidden_out, hooked, locate, with_hidden
from steersman.plant.architectures import ARCHITECTURES
from steersman.plant.outputs import OUTPUTS, Outputs
from steersman.plant.swapping import parameter_at, swapped
from steersman.plant.writers import writers

TOKENS = torch.tensor([[1, 7, 9, 11, 30]])
NORMED = {"exaone4", "gemma2", "gemma3_text", "glm4", "olmo2", "olmo3"}
EXPERTS = {
    *("deepseek_v2", "deepseek_v3", "gpt_oss", "granitemoe", "mixtral", "olmoe", "qwen2_moe"),
    "qwen3_moe",
}
PARALLEL = {"codegen", "cohere", "cohere2", "falcon", "gpt_neox", "gptj", "phi"}


@cache
def double(model_type: str) -> Any:
    """A tiny model in float64; never to be changed."""
    return tiny_model(model_type, experts_implementation="eager").double()


def moved(model: Any, block: int, values: dict[str, torch.Tensor]) -> torch.Tensor:
    """By how much a block's output moves with other parameters, at the inputs that it had."""
    seen: list[Any] = []
    module = locate(model).modules[block]
    with HookSet() as hooks, torch.no_grad():
        hooks.before(module, lambda args, kwargs: seen.append((args, kwargs)))
        hooks.after(module, lambda args, kwargs, output: seen.append(hidden_out(output)))
        model(input_ids=TOKENS, use_cache=False)
    (args, kwargs), before = seen
    with swapped(model, values), torch.no_grad():
        return hidden_out(module(*args, **kwargs)) - before


def test_every_architecture_of_the_table_of_blocks_has_its_writers() -> None:
    assert set(OUTPUTS) == set(ARCHITECTURES)


@pytest.mark.parametrize("model_type", sorted(CONFIGURATIONS))
def test_a_bias_on_the_last_map_moves_the_output_of_a_block_by_just_that(model_type: str) -> None:
    model = double(model_type)
    found = writers(model)
    assert found.source == "table" and len(found.each) == BLOCKS and found.heads == 4
    d = torch.randn(WIDTH, generator=torch.Generator().manual_seed(3)).double()
    last = found.each[1][-1]
    assert last.part == "mlp"
    if model_type in NORMED:
        assert not last.reach.along and last.reach.gain is None and last.reach.norm is not None
        return
    assert last.reach.along
    if last.bias is None or last.reach.gain is None:
        assert model_type in EXPERTS
        return
    assert last.reach.gain == 1.0 and not last.reach.read
    old = parameter_at(model, last.bias)
    new = d.expand(last.bias_shape) if old is None else old.detach() + d
    torch.testing.assert_close(
        moved(model, 1, {last.bias: new}), d.expand(1, 5, WIDTH), atol=1e-12, rtol=0
    )


@pytest.mark.parametrize("model_type", sorted(set(CONFIGURATIONS) - NORMED))
def test_what_attention_writes_is_read_by_the_mlp_unless_the_two_are_parallel(
    model_type: str,
) -> None:
    found = writers(double(model_type))
    for block in found.each:
        first = block[0]
        assert (first.part, first.reach.gain) == ("attention", 1.0)
        assert first.reach.read == (model_type not in PARALLEL)


@pytest.mark.parametrize("model_type", ["gemma2", "olmo2", "glm4"])
def test_the_weight_of_a_norm_behind_a_writer_is_measured(model_type: str) -> None:
    model = double(model_type)
    block = locate(model).modules[0]
    named = {"gemma2": "post_feedforward_layernorm", "glm4": "post_mlp_layernorm"}
    norm = getattr(block, named.get(model_type, "post_feedforward_layernorm"))
    expected = norm.weight.detach() + (1.0 if model_type == "gemma2" else 0.0)
    found = writers(model).each[0][-1].reach.norm
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("model_type", ["gpt2", "opt", "gpt_neo", "gpt_bigcode"])
def test_position_embeddings_are_writers_too(model_type: str) -> None:
    found = writers(double(model_type)).embeddings
    assert len(found) == 2 and all(one.reach.along for one in found)


def test_a_norm_behind_the_embedding_is_noticed() -> None:
    assert not writers(double("bloom")).embeddings[0].reach.along


def test_a_residual_multiplier_is_the_gain() -> None:
    model = tiny_model("granite", residual_multiplier=0.22)
    assert {w.reach.gain for block in writers(model).each for w in block} == {0.22}
    low = tiny_model("granite", residual_multiplier=0.22).bfloat16()
    assert {w.reach.gain for block in writers(low).each for w in block} == {0.22}


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "phi", "gpt_neox", "opt", "falcon"])
def test_without_the_table_the_same_writers_are_found_by_shape(
    model_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = double(model_type)
    known = [{w.name for w in block} for block in writers(model).each]
    monkeypatch.delitem(OUTPUTS, model_type)
    found = writers(model)
    assert found.source == "found"
    assert [{w.name for w in block} for block in found.each] == known


def test_a_table_that_names_the_wrong_map_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Outputs(("self_attn.o_proj",), ("mlp.up_proj",))
    monkeypatch.setitem(OUTPUTS, "llama", wrong)
    model = double("llama")
    # It is of another width than the residual stream, so that shapes decide.
    assert writers(model).source == "found"
    monkeypatch.setitem(OUTPUTS, "llama", Outputs(("self_attn.o_proj",), ("self_attn.q_proj",)))
    with pytest.raises(ArchitectureError, match=r"self_attn\.o_proj.*block 0.*still changes"):
        writers(model)


class _Config(PreTrainedConfig):
    model_type = "home_made_writers"


class _Block(nn.Module):
    def __init__(self, hidden: bool) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, 40), nn.Linear(40, WIDTH)
        self.own = nn.Parameter(torch.ones(WIDTH)) if hidden else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        added = self.down(self.up(x).tanh())
        return x + added if self.own is None else x + added + self.own


class _HomeMade(PreTrainedModel):
    config_class = _Config

    def __init__(self, hidden: bool = False) -> None:
        super().__init__(_Config())
        self.table = nn.Embedding(VOCABULARY, WIDTH)
        self.tower = nn.ModuleList([_Block(hidden) for _ in range(3)])

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        x = self.table(input_ids)
        for block in self.tower:
            x = block(x)
        return x


def test_a_model_outside_the_table_is_found_by_shape_and_proved() -> None:
    model = _HomeMade().eval()
    found = writers(model)
    assert [[w.name for w in block] for block in found.each] == [
        [f"tower.{t}.down.weight"] for t in range(3)
    ]
    assert found.source == "found" and found.each[0][0].bias == "tower.0.down.bias"
    assert not any(hooked(module) for module in model.modules())


def test_a_writer_that_is_no_linear_map_makes_the_proof_fail() -> None:
    with pytest.raises(ArchitectureError, match=r"found by shape.*\(down\), block 0.*attach"):
        writers(_HomeMade(hidden=True).eval())


def test_a_norm_of_the_sum_makes_the_proof_fail() -> None:
    settings = {**CONFIGURATIONS["opt"], "do_layer_norm_before": False}
    with pytest.raises(ArchitectureError, match="a norm of the sum"):
        writers(OPTForCausalLM(OPTConfig(**settings)).eval())


def test_a_model_in_training_mode_or_under_steering_is_refused(tiny_model: Any) -> None:
    model = tiny_model("llama")
    with HookSet() as hooks:
        hooks.after(locate(model).modules[0], lambda a, k, o: with_hidden(o, hidden_out(o) + 1))
        with pytest.raises(AttachedError):
            writers(model)
    model.train()
    try:
        with pytest.raises(InputError, match="training mode"):
            writers(model)
    finally:
        model.eval()


def test_finding_writers_leaves_the_model_alone() -> None:
    model = double("qwen2")
    before = [(name, p, p.detach().clone()) for name, p in model.named_parameters()]
    writers(model)
    for (name, known, values), (other, now) in zip(before, model.named_parameters(), strict=True):
        assert name == other and known is now and torch.equal(values, now)
    seen: list[Any] = []
    with HookSet() as hooks, torch.no_grad():
        hooks.before(locate(model).modules[0], lambda a, k: seen.append(hidden_in(a, k)))
        model(input_ids=TOKENS)
    assert len(seen) == 1
