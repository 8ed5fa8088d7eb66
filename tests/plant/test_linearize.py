"""Frozen-prefix Jacobians are the last token's rows and columns of the whole block's Jacobian."""

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import disk_offload
from tiny_models import BLOCKS, CONFIGURATIONS, VOCABULARY, WIDTH, WINDOW
from tiny_models import tiny_model as fresh_model
from torch import Tensor, nn
from transformers import Cache, PreTrainedConfig, PreTrainedModel

from steersman.errors import (
    ArchitectureError,
    AttachedError,
    InputError,
    NumericalError,
    ShapeError,
)
from steersman.plant.blocks import locate
from steersman.plant.hooks import HookSet, hidden_in, hidden_out, hooked, with_hidden_in
from steersman.plant.jacobian import each_jacobian, jacobians
from steersman.plant.linearize import linearize

LENGTH = 9
assert LENGTH - 1 > WINDOW + 1

SMOOTH_IN_FLOAT64 = [
    "falcon",
    "gpt2",
    "gpt_neox",
    "opt",
    "persimmon",
    "phi",
    "stablelm",
    "starcoder2",
]
"""Architectures that never fall back to float32 inside a block."""

WITH_FLOAT32_INSIDE = [
    "gemma",
    "gemma2",
    "gemma3_text",
    "granite",
    "llama",
    "mistral",
    "olmo2",
    "phi3",
    "qwen2",
    "qwen3",
    "smollm3",
]
"""Architectures whose RMS norm is taken in float32 whatever the model's precision."""


def prompt(length: int = LENGTH, seed: int = 1) -> Tensor:
    return torch.randint(5, VOCABULARY, (1, length), generator=torch.Generator().manual_seed(seed))


def whole_calls(model: Any, ids: Tensor) -> list[tuple[Any, Any]]:
    """How the model calls each block over the whole sequence, without a cache."""
    calls: list[tuple[Any, Any]] = []

    def record(args: Any, kwargs: Any) -> None:
        calls.append((args, {k: None if isinstance(v, Cache) else v for k, v in kwargs.items()}))

    with HookSet() as hooks, torch.no_grad():
        for module in locate(model).modules:
            hooks.before(module, record)
        model(input_ids=ids, use_cache=False)
    return calls


def by_autograd(model: Any, ids: Tensor) -> Tensor:
    """Differentiate each whole block over the whole sequence; take the last token's part."""
    parts = []
    for module, (args, kwargs) in zip(locate(model).modules, whole_calls(model, ids), strict=True):

        def block(
            x: Tensor, module: Any = module, args: Any = args, kwargs: Any = kwargs
        ) -> Tensor:
            args, kwargs = with_hidden_in(args, kwargs, x)
            return hidden_out(module(*args, **kwargs))

        x = hidden_in(args, kwargs)
        whole = torch.autograd.functional.jacobian(lambda x: block(x)[:, -1], x)
        parts.append(whole[0, :, 0, -1, :])
    return torch.stack(parts)


def by_differences(model: Any, ids: Tensor, step: float) -> Tensor:
    """Central differences: all perturbations of the last token as one batch of sequences."""
    parts = []
    for module, (args, kwargs) in zip(locate(model).modules, whole_calls(model, ids), strict=True):
        x = hidden_in(args, kwargs)
        columns = []
        for j in range(WIDTH):
            ends = []
            for sign in (1, -1):
                moved = x.clone()
                moved[0, -1, j] += sign * step
                new_args, new_kwargs = with_hidden_in(args, kwargs, moved)
                with torch.no_grad():
                    ends.append(hidden_out(module(*new_args, **new_kwargs))[0, -1])
            columns.append((ends[0] - ends[1]) / (2 * step))
        parts.append(torch.stack(columns, dim=1))
    return torch.stack(parts)


def error(found: Tensor, expected: Tensor) -> float:
    """The largest relative error of any block."""
    norms = torch.linalg.matrix_norm(expected)
    return float((torch.linalg.matrix_norm(found - expected) / norms).max())


@pytest.mark.parametrize("length", [LENGTH, 1])
@pytest.mark.parametrize("model_type", sorted(CONFIGURATIONS))
def test_jacobians_equal_those_of_the_whole_block_over_the_whole_sequence(
    model_type: str, length: int, tiny_model: Any
) -> None:
    model, ids = tiny_model(model_type), prompt(length)
    found = jacobians(model, ids, chunk=12)
    assert found.shape == (BLOCKS, WIDTH, WIDTH)
    assert found.dtype == torch.float32
    assert error(found, by_autograd(model, ids)) < 1e-5


@pytest.mark.parametrize("model_type", SMOOTH_IN_FLOAT64)
def test_jacobians_equal_central_differences_in_float64(model_type: str) -> None:
    model, ids = fresh_model(model_type).double(), prompt()
    found = jacobians(model, ids)
    assert found.dtype == torch.float64
    assert error(found, by_differences(model, ids, 1e-5)) < 1e-7


@pytest.mark.parametrize("model_type", WITH_FLOAT32_INSIDE)
def test_jacobians_equal_central_differences_up_to_a_norm_in_float32(model_type: str) -> None:
    model, ids = fresh_model(model_type).double(), prompt()
    assert error(jacobians(model, ids), by_differences(model, ids, 1e-3)) < 2e-3


@pytest.mark.parametrize(
    ("model_type", "attention"),
    [
        ("mistral", "eager"),
        ("mistral", "sdpa"),
        ("gemma2", "eager"),
        ("gemma3_text", "eager"),
        ("gemma3_text", "sdpa"),
    ],
)
def test_a_prefix_longer_than_the_window_is_cut_as_the_model_cuts_it(
    model_type: str, attention: str
) -> None:
    model = fresh_model(model_type, attn_implementation=attention)
    ids = prompt(4 * WINDOW)
    found = jacobians(model, ids)
    assert error(found, by_autograd(model, ids)) < 1e-5
    elsewhere = ids.clone()
    elsewhere[0, 0] = 7 if ids[0, 0] != 7 else 8
    # The first block slides in all three: a token out of its window cannot matter to it.
    assert error(jacobians(model, elsewhere)[:1], found[:1]) < 1e-6


def test_the_prefix_matters_to_attention(tiny_model: Any) -> None:
    model = tiny_model("llama")
    alone = jacobians(model, prompt()[:, -1:])
    assert error(jacobians(model, prompt()), alone) > 0.01


@pytest.mark.parametrize("chunk", [1, 5, WIDTH, 1000])
def test_the_chunk_does_not_matter(chunk: int, tiny_model: Any) -> None:
    model = tiny_model("qwen3")
    assert error(jacobians(model, prompt(), chunk=chunk), jacobians(model, prompt())) < 1e-6


@pytest.mark.parametrize("model_type", ["llama", "gemma2", "gpt2", "falcon", "qwen2_moe"])
def test_products_equal_those_with_the_matrix(model_type: str, tiny_model: Any) -> None:
    found = linearize(tiny_model(model_type), prompt(), chunk=4)
    columns = torch.randn(WIDTH, 7, generator=torch.Generator().manual_seed(0))
    for block, matrix in enumerate(jacobians(tiny_model(model_type), prompt())):
        close = {"rtol": 1e-4, "atol": 1e-5 * matrix.norm().item()}
        torch.testing.assert_close(found.vjp(block, columns), matrix.T @ columns, **close)
        torch.testing.assert_close(found.jvp(block, columns), matrix @ columns, **close)
        torch.testing.assert_close(
            found.vjp(block, columns[:, 0]), matrix.T @ columns[:, 0], **close
        )
        torch.testing.assert_close(found.jvp(block, columns[:, 0]), matrix @ columns[:, 0], **close)


def test_the_chain_of_products_is_the_gradient_through_the_whole_model(tiny_model: Any) -> None:
    model, ids = tiny_model("llama"), prompt()
    found = linearize(model, ids, chunk=1)
    w = torch.randn(WIDTH, generator=torch.Generator().manual_seed(0))
    chained = w
    for block in reversed(range(BLOCKS)):
        chained = found.vjp(block, chained)
    embedded = model.get_input_embeddings()(ids).detach().requires_grad_()
    last: list[Tensor] = []
    with HookSet() as hooks:
        hooks.after(locate(model).modules[-1], lambda a, k, out: last.append(hidden_out(out)))
        model(inputs_embeds=embedded, use_cache=False)
    (gradient,) = torch.autograd.grad(last[0][0, -1] @ w, embedded)
    torch.testing.assert_close(chained, gradient[0, -1], rtol=1e-4, atol=1e-5)


def test_a_products_columns_must_fit(tiny_model: Any) -> None:
    found = linearize(tiny_model("llama"), prompt(), chunk=4)
    with pytest.raises(ShapeError, match=r"\(31, 2\).*\(32,\) or \(32, k\)"):
        found.vjp(0, torch.zeros(31, 2))


def test_the_states_are_those_of_the_prompts_last_token(tiny_model: Any) -> None:
    model, ids = fresh_model("gemma2"), prompt()
    with torch.no_grad():
        record = model(input_ids=ids, output_hidden_states=True).hidden_states
    states = linearize(model, ids).states
    expected = torch.stack([x[0, -1] for x in record[:-1]])
    torch.testing.assert_close(states[:-1], expected, rtol=1e-5, atol=1e-5)


def test_a_bfloat16_model_gives_float32_jacobians(tiny_model: Any) -> None:
    exact = jacobians(tiny_model("llama"), prompt())
    found = jacobians(fresh_model("llama").to(torch.bfloat16), prompt())
    assert found.dtype == torch.float32
    assert error(found, exact) < 0.1


def test_a_model_whose_weights_are_offloaded_gives_the_same(
    tiny_model: Any, tmp_path: Path
) -> None:
    expected = jacobians(tiny_model("llama"), prompt())
    model = fresh_model("llama")
    disk_offload(model, tmp_path, execution_device=torch.device("cpu"))
    assert next(model.parameters()).device.type == "meta"
    assert error(jacobians(model, prompt()), expected) < 1e-6


HYBRIDS: dict[str, dict[str, Any]] = {
    "lfm2": {"layer_types": ["conv", "full_attention", "conv"]},
    "qwen3_5_text": {
        "layer_types": ["linear_attention", "full_attention", "linear_attention"],
        "head_dim": 8,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
    },
    "granitemoehybrid": {
        "layer_types": ["mamba", "attention", "mamba"],
        "num_local_experts": 0,
        "shared_intermediate_size": 32,
        "mamba_n_heads": 4,
        "mamba_d_head": 16,
        "mamba_n_groups": 1,
        "mamba_chunk_size": 8,
    },
}
"""Outside the table, and with a cache that holds more than keys and values."""


@pytest.mark.parametrize("model_type", sorted(HYBRIDS))
@pytest.mark.parametrize("length", [LENGTH, 1])
def test_blocks_with_a_recurrent_state_are_differentiated_over_the_whole_prompt(
    model_type: str, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**CONFIGURATIONS["llama"], **HYBRIDS[model_type]}
    monkeypatch.setitem(CONFIGURATIONS, model_type, settings)
    model, ids = fresh_model(model_type), prompt(length)
    assert locate(model).source == "found"
    assert error(jacobians(model, ids), by_autograd(model, ids)) < 1e-5


class _PlainConfig(PreTrainedConfig):
    model_type = "plain"


class _PlainLayer(nn.Module):
    """Mixes each token with the mean of the ones before; may keep a state of its own."""

    def __init__(self, keeps_state: bool) -> None:
        super().__init__()
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.keeps_state = keeps_state
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.keeps_state
        past = x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None]
        return x + self.mix(past).tanh() + self.calls


class _Plain(PreTrainedModel):
    """A model no table knows, that takes token ids and nothing else."""

    config_class = _PlainConfig

    def __init__(self, keeps_state: bool = False) -> None:
        super().__init__(_PlainConfig())
        self.table = nn.Embedding(VOCABULARY, WIDTH)
        self.stack = nn.ModuleList([_PlainLayer(keeps_state) for _ in range(BLOCKS)])

    def forward(self, input_ids: Tensor) -> Tensor:
        x: Tensor = self.table(input_ids)
        for layer in self.stack:
            x = layer(x)
        return x


def test_a_model_without_any_cache_is_differentiated_over_the_whole_prompt() -> None:
    torch.manual_seed(0)
    model, ids = _Plain().eval(), prompt()
    found = jacobians(model, ids, chunk=6)
    with torch.no_grad():
        x = model.table(ids)[0]
    for block, layer in enumerate(model.stack):
        slope = 1 - layer.mix(x.mean(0)).tanh() ** 2
        expected = torch.eye(WIDTH) + slope[:, None] * layer.mix.weight / LENGTH
        torch.testing.assert_close(found[block], expected, rtol=1e-4, atol=1e-5)
        x = layer(x[None])[0]


def test_a_block_that_keeps_a_state_of_its_own_cannot_be_called_again() -> None:
    found = linearize(_Plain(keeps_state=True).eval(), prompt())
    with pytest.raises(ArchitectureError, match="block 0 .*keeps a state of its own"):
        found.vjp(0, torch.ones(WIDTH))


def test_blocks_that_are_not_wanted_are_skipped(tiny_model: Any) -> None:
    found: dict[int, Tensor] = {}
    each_jacobian(tiny_model("llama"), prompt(), found.__setitem__, skip=[1])
    expected = jacobians(tiny_model("llama"), prompt())
    assert sorted(found) == [0, 2]
    assert all(torch.equal(matrix, expected[block]) for block, matrix in found.items())


@pytest.mark.parametrize("differentiate", [jacobians, linearize])
def test_a_model_that_leaves_a_block_out_is_refused(differentiate: Any) -> None:
    model = fresh_model("llama")
    model.config.num_hidden_layers = BLOCKS - 1
    with pytest.raises(ArchitectureError, match="not every block of model.layers ran once"):
        differentiate(model, prompt())


@pytest.mark.parametrize("quiet", [torch.no_grad, torch.inference_mode])
def test_gradients_are_taken_also_where_they_are_switched_off(quiet: Any, tiny_model: Any) -> None:
    expected = jacobians(tiny_model("llama"), prompt())
    with quiet():
        found = jacobians(tiny_model("llama"), prompt())
    assert torch.equal(found, expected)


def test_nothing_is_left_on_the_model() -> None:
    model = fresh_model("gemma3_text")
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    jacobians(model, prompt())
    assert not any(hooked(module) for module in model.modules())
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not model.training


def test_hooks_are_gone_after_a_forward_that_fails() -> None:
    model = fresh_model("llama")

    def fail(args: Any, kwargs: Any, output: Any) -> None:
        raise RuntimeError("in the middle of a forward")

    with HookSet() as hooks:
        hooks.after(model.model.layers[1].mlp, fail)
        with pytest.raises(RuntimeError, match="in the middle"):
            jacobians(model, prompt())
    assert not any(hooked(module) for module in model.modules())


def test_a_steered_model_is_refused(tiny_model: Any) -> None:
    model = tiny_model("llama")
    with HookSet(owner="a steering") as hooks:
        hooks.after(locate(model).modules[1], lambda args, kwargs, output: None)
        with pytest.raises(AttachedError, match="attached to block 1"):
            jacobians(model, prompt())


def test_a_model_in_training_mode_is_refused() -> None:
    with pytest.raises(InputError, match="training mode"):
        jacobians(fresh_model("gpt2").train(), prompt())


@pytest.mark.parametrize(("length", "chunk"), [(0, 4), (3, 0)])
def test_no_token_or_no_row_is_refused(length: int, chunk: int, tiny_model: Any) -> None:
    with pytest.raises(InputError, match=f"{length} tokens, chunk = {chunk}"):
        jacobians(tiny_model("llama"), prompt(3)[:, :length], chunk=chunk)


def test_a_block_that_gives_nan_is_named() -> None:
    model = fresh_model("llama")
    model.model.layers[1].mlp.down_proj.weight.data[0] = torch.nan
    with pytest.raises(NumericalError, match="block 1"):
        jacobians(model, prompt())


@pytest.mark.parametrize("kind", ["llama", "gemma2", "gpt2"])
def test_outputs_are_those_of_the_block_for_other_states(kind: str) -> None:
    run = linearize(fresh_model(kind).double(), prompt(), chunk=3)
    v = torch.randn(WIDTH, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for block in range(BLOCKS):
        x, y = run.states[block].unsqueeze(1), run.states[block + 1].unsqueeze(1)
        assert torch.allclose(run.outputs(block, x).cpu(), y, atol=1e-5)
        step = 1e-4
        slope = (run.outputs(block, x + step * v) - run.outputs(block, x - step * v)) / (2 * step)
        assert torch.allclose(slope, run.jvp(block, v), atol=1e-3 * float(slope.abs().max()))


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "gemma2", "falcon"])
@pytest.mark.parametrize("rows", [1, 3])
def test_products_of_kept_graphs_are_the_same_and_call_no_block_again(
    model_type: str, rows: int
) -> None:
    model, ids = fresh_model(model_type).double(), prompt()
    again, kept = (linearize(model, ids, chunk=rows, keep=keep) for keep in (False, True))
    W = torch.randn(WIDTH, 4, generator=torch.Generator().manual_seed(3)).double()
    assert torch.equal(kept.states, again.states)
    expected = [again.vjp(block, W) for block in range(BLOCKS)]
    called: list[int] = []
    with HookSet() as hooks:
        for module in locate(model).modules:
            hooks.before(module, lambda args, kwargs: called.append(1))
        for _ in range(2):
            for block in reversed(range(BLOCKS)):
                torch.testing.assert_close(kept.vjp(block, W), expected[block])
    assert not called
    torch.testing.assert_close(kept.jvp(1, W), again.jvp(1, W))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_graph_of_a_state_that_is_not_finite_is_refused_at_once() -> None:
    model = fresh_model("llama")
    with torch.no_grad():
        locate(model).modules[1].mlp.down_proj.weight[0] = torch.inf
    with pytest.raises(NumericalError, match="the output of block 1 is not finite"):
        linearize(model, prompt(), keep=True)


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "gemma2", "falcon"])
def test_the_last_block_makes_no_more_of_the_prefix_than_keys_and_values(model_type: str) -> None:
    model, ids = fresh_model(model_type), prompt()
    entered: list[int] = []
    left: list[int] = []
    with HookSet() as hooks:
        last = locate(model).modules[-1]
        hooks.before(last, lambda a, k: entered.append(hidden_in(a, k).shape[1]))
        hooks.after(last, lambda a, k, out: left.append(hidden_out(out).shape[1]))
        linearize(model, ids, chunk=1)
    assert (entered, left) == ([LENGTH - 1, 1], [1])


def test_without_a_frozen_prefix_no_graph_is_kept() -> None:
    torch.manual_seed(0)
    model, ids, w = _Plain().eval(), prompt(), torch.ones(WIDTH)
    called: list[int] = []
    kept, again = (linearize(model, ids, chunk=2, keep=keep) for keep in (True, False))
    with HookSet() as hooks:
        hooks.before(model.stack[0], lambda args, kwargs: called.append(1))
        assert torch.equal(kept.vjp(0, w), again.vjp(0, w))
    assert len(called) == 2
