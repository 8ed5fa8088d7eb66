"""Steer2Edit against a transcription of its formulas, component by component."""

from typing import Any

import pytest
import torch
from edited_models import HEADS, PAIRS, double, map_of, read
from tiny_models import BLOCKS, tiny_model

from steersman.editing import Steer2Edit
from steersman.errors import ArchitectureError, CompilationError, InputError
from steersman.plant import locate

PATHS = {"llama": ("self_attn.o_proj", "mlp.down_proj"), "gpt2": ("attn.c_proj", "mlp.c_proj")}


def elastic_net(g: float, rho: float, alpha: float) -> float:
    """The minimiser of `-g l + rho (alpha |l| + (1 - alpha) l^2 / 2)`, by its formula."""
    size = max(abs(g) - rho * alpha, 0.0) / (rho * (1 - alpha))
    return size if g > 0 else -size


def transcribed(
    W: torch.Tensor, v: torch.Tensor, x: torch.Tensor, width: int, rho: float, alpha: float
) -> torch.Tensor:
    """The edited map: one component after the other."""
    W = W.clone()
    for start in range(0, W.shape[1], width):
        part = W[:, start : start + width].clone()
        out = part @ x[start : start + width]
        g = float(torch.dot(v, out) / (v.norm() * out.norm()))
        k = part.T @ v / (part.T @ v).norm()
        W[:, start : start + width] += elastic_net(g, rho, alpha) * torch.outer(v, k)
    return W


@pytest.mark.parametrize("model_type", sorted(PATHS))
def test_every_head_and_neuron_is_edited_as_the_formula_says(
    model_type: str, tiny_tokenizer: Any
) -> None:
    model = double(model_type)
    method = Steer2Edit(rho_attention=0.3, rho_mlp=0.4, alpha=0.5)
    delta = method.edit(model, tiny_tokenizer, PAIRS, batch_size=3, progress=False)
    for i, (path, rho) in enumerate(zip(PATHS[model_type], (0.3, 0.4), strict=True)):
        desired, undesired = (
            read(model, tiny_tokenizer, texts, path) for texts in (PAIRS.desired, PAIRS.undesired)
        )
        for t in range(BLOCKS):
            W = map_of(model, t, path)
            v = desired["out"][t] - undesired["out"][t]
            x = (desired["in"][t] + undesired["in"][t]) / 2
            width = W.shape[1] // HEADS if i == 0 else 1
            expected = transcribed(W, v / v.norm(), x, width, rho, 0.5)
            with delta.apply(model):
                torch.testing.assert_close(map_of(model, t, path), expected, atol=1e-10, rtol=0)


def test_the_net_is_the_minimiser_it_is_said_to_be() -> None:
    lambdas = torch.linspace(-8, 8, 320001, dtype=torch.float64)
    for g, rho, alpha in ((0.7, 0.3, 0.5), (-0.4, 0.2, 0.8), (0.1, 0.4, 0.5)):
        cost = -g * lambdas + rho * (alpha * lambdas.abs() + (1 - alpha) * lambdas**2 / 2)
        assert float(lambdas[cost.argmin()]) == pytest.approx(elastic_net(g, rho, alpha), abs=1e-4)


def test_an_edit_moves_the_mean_output_along_the_direction_never_against_it(
    tiny_tokenizer: Any,
) -> None:
    model, path = double("llama"), "mlp.down_proj"
    method = Steer2Edit(rho_attention=None, rho_mlp=0.2, alpha=0.3)
    delta = method.edit(model, tiny_tokenizer, PAIRS, progress=False)
    assert all("down_proj" in name for name in delta.changes)
    desired, undesired = (
        read(model, tiny_tokenizer, texts, path) for texts in (PAIRS.desired, PAIRS.undesired)
    )
    for t in range(BLOCKS):
        v = desired["out"][t] - undesired["out"][t]
        x = (desired["in"][t] + undesired["in"][t]) / 2
        W = map_of(model, t, path)
        with delta.apply(model):
            moved = (map_of(model, t, path) - W) @ x
        assert float(moved @ v / v.norm()) > 0
        assert float(moved @ v / (v.norm() * moved.norm())) == pytest.approx(1.0)


def test_components_below_the_threshold_are_left_alone(tiny_tokenizer: Any) -> None:
    model = double("llama")
    strict = Steer2Edit(rho_attention=0.8, rho_mlp=None, alpha=0.9)
    loose = Steer2Edit(rho_attention=0.3, rho_mlp=None, alpha=0.5)
    counts = []
    for method in (strict, loose):
        try:
            reason = method.edit(model, tiny_tokenizer, PAIRS, progress=False).reason
            counts.append(int(reason.split()[0]))
        except CompilationError:
            counts.append(0)
    assert counts[0] < counts[1] <= BLOCKS * HEADS
    with pytest.raises(CompilationError, match="lower rho_attention"):
        Steer2Edit(2.0, 2.0, 0.9).edit(model, tiny_tokenizer, PAIRS, progress=False)


def test_a_scale_below_zero_goes_the_other_way(tiny_tokenizer: Any) -> None:
    model, edited = double("llama"), []
    W = map_of(model, 0, "self_attn.o_proj")
    for scale in (1.0, -1.0):
        method = Steer2Edit(rho_attention=0.2, rho_mlp=None, alpha=0.3, scale=scale)
        with method.edit(model, tiny_tokenizer, PAIRS, progress=False).apply(model):
            edited.append(map_of(model, 0, "self_attn.o_proj") - W)
    torch.testing.assert_close(edited[0], -edited[1])


def test_experts_have_no_neurons_of_one_map(tiny_tokenizer: Any) -> None:
    model = tiny_model("mixtral")
    with pytest.raises(ArchitectureError, match="experts.*edit the other part only"):
        Steer2Edit().edit(model, tiny_tokenizer, PAIRS, progress=False)
    heads = Steer2Edit(rho_attention=0.2, rho_mlp=None, alpha=0.3)
    found = heads.edit(model, tiny_tokenizer, PAIRS, progress=False)
    assert not found.exact and len(locate(model)) >= len(found.changes) > 0


@pytest.mark.parametrize("settings", [(None, None, 0.5), (0.0, 0.5, 0.5), (0.2, 0.5, 1.0)])
def test_numbers_out_of_range_are_refused(settings: tuple[Any, ...]) -> None:
    with pytest.raises(InputError, match="rho above 0"):
        Steer2Edit(*settings)
