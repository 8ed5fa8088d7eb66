"""Orthogonalised writers do what hooks behind every writer do."""

from typing import Any

import pytest
import torch
from steered_models import double, logits
from tiny_models import CONFIGURATIONS, WIDTH
from torch import nn

from steersman.compiling import ablate
from steersman.errors import CompilationError, InputError, ShapeError
from steersman.plant import HookSet, hidden_in, hidden_out, locate, with_hidden, with_hidden_in

NORMED = {"exaone4", "gemma2", "gemma3_text", "glm4", "olmo2", "olmo3"}
PARTS = {
    "llama": ("self_attn", "mlp"),
    "qwen3_moe": ("self_attn", "mlp"),
    "gpt2": ("attn", "mlp"),
    "gpt_neox": ("attention", "mlp"),
    "phi": ("self_attn", "mlp"),
    "opt": ("self_attn", "fc2"),
    "gpt_oss": ("self_attn", "mlp"),
    "gemma": ("self_attn", "mlp"),
    "cohere": ("self_attn", "mlp"),
}


def direction(seed: int = 2, k: int | None = None) -> torch.Tensor:
    shape = (WIDTH,) if k is None else (WIDTH, k)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def ablated_by_hooks(model: Any, v: torch.Tensor, parts: tuple[str, str]) -> torch.Tensor:
    """As published: `x <- x - r r'x` before blocks, behind attention and MLP."""
    r = v / v.norm()

    def without(x: torch.Tensor) -> torch.Tensor:
        return x - (x @ r)[..., None] * r

    with HookSet() as hooks:
        for block in locate(model).modules:
            hooks.before(block, lambda a, k: with_hidden_in(a, k, without(hidden_in(a, k))))
            for name in parts:
                part: nn.Module = getattr(block, name)
                hooks.after(part, lambda a, k, out: with_hidden(out, without(hidden_out(out))))
        return logits(model)


@pytest.mark.parametrize("model_type", sorted(PARTS))
def test_ablation_in_the_weights_is_ablation_by_hooks(model_type: str) -> None:
    model, v = double(model_type), direction()
    delta = ablate(model, v)
    assert delta.exact and delta.method == "ablation"
    expected, bare = ablated_by_hooks(model, v, PARTS[model_type]), logits(model)
    assert (expected - bare).abs().max() > 0.05
    with delta.apply(model):
        torch.testing.assert_close(logits(model), expected, atol=1e-12, rtol=0)
    assert torch.equal(logits(model), bare)


@pytest.mark.parametrize("model_type", sorted(set(CONFIGURATIONS) - NORMED - {"bloom"}))
def test_no_state_has_a_part_along_the_directions(model_type: str) -> None:
    model, V = double(model_type), direction(k=3)
    states: list[torch.Tensor] = []
    with ablate(model, V).apply(model), HookSet() as hooks:
        for block in locate(model).modules:
            hooks.before(block, lambda a, k: states.append(hidden_in(a, k)))
            hooks.after(block, lambda a, k, out: states.append(hidden_out(out)))
        logits(model)
    assert max(float((x @ V).abs().max()) for x in states) < 1e-12


@pytest.mark.parametrize("model_type", sorted(NORMED))
def test_behind_a_norm_the_direction_goes_but_the_rest_grows(model_type: str) -> None:
    model, v = double(model_type), direction()
    with pytest.raises(CompilationError, match="normed before it is added"):
        ablate(model, v)
    delta = ablate(model, v, approximate=True)
    assert not delta.exact
    states: list[torch.Tensor] = []
    with delta.apply(model), HookSet() as hooks:
        hooks.after(locate(model).modules[-1], lambda a, k, out: states.append(hidden_out(out)))
        found = logits(model)
    r = v / v.norm()
    assert float(((states[0] @ r).abs() / states[0].norm(dim=-1)).max()) < 1e-6
    # Not what the hooks do: they leave the rest of what is added as long as it was.
    names = ("post_attention_layernorm", "post_feedforward_layernorm")
    if model_type == "glm4":
        names = ("post_self_attn_layernorm", "post_mlp_layernorm")
    by_hooks = ablated_by_hooks(model, v, names)
    assert float((found - by_hooks).abs().max()) > 1e-3


def test_a_norm_behind_the_embedding_leaves_a_part_of_the_direction() -> None:
    with pytest.raises(CompilationError, match="what the embedding puts out is changed"):
        ablate(double("bloom"), direction())
    told = ablate(double("bloom"), direction(), approximate=True).reason
    assert "of a state is left along the directions" in told


def test_the_span_is_taken_out_whatever_vectors_it_is_given_by() -> None:
    model, V = double("llama"), direction(k=2)
    mixed = V @ torch.tensor([[2.0, 1.0], [0.5, -3.0]], dtype=torch.float64)
    with ablate(model, V).apply(model):
        first = logits(model)
    with ablate(model, mixed).apply(model):
        torch.testing.assert_close(logits(model), first, atol=1e-11, rtol=0)


def test_a_tied_head_stays_as_it_was() -> None:
    model, v = double("gpt2"), direction()
    head = model.lm_head.weight
    with ablate(model, v).apply(model):
        assert model.lm_head.weight is head
        assert model.transformer.wte.weight is not head
    assert model.transformer.wte.weight is head


@pytest.mark.parametrize(
    ("bad", "error", "why"),
    [
        (torch.zeros(WIDTH), InputError, "zero"),
        (torch.ones(WIDTH, 2), InputError, "made of the others"),
        (torch.ones(WIDTH + 1), ShapeError, "expected"),
        (torch.full((WIDTH,), float("nan")), InputError, "NaN"),
    ],
)
def test_directions_that_span_nothing_are_refused(
    bad: torch.Tensor, error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        ablate(double("llama"), bad)
