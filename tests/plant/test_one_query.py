"""Attention written out for one query is the fused one, and makes no gradient of the prefix."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import DynamicCache

from steersman.plant.frozen_cache import FrozenCache
from steersman.plant.one_query import OneQueryAttention

ROWS, HEADS, GROUPS, LENGTH, D = 3, 6, 2, 5, 4


class Fused(TorchDispatchMode):
    """Counts the calls that reach a fused kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += "attention" in str(func)
        return func(*args, **(kwargs or {}))


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def frozen(groups: int = GROUPS) -> FrozenCache:
    cache = DynamicCache()
    cache.update(randn(1, groups, LENGTH, D, seed=1), randn(1, groups, LENGTH, D, seed=2), 0)
    return FrozenCache(cache)


def attend(cache: FrozenCache, inputs: list[Tensor], **settings: Any) -> Tensor:
    query, key, value = inputs
    keys, values = cache.update(key, value, 0)
    return scaled_dot_product_attention(query, keys, values, **settings)


def inputs(groups: int, queries: int = 1) -> list[Tensor]:
    shapes = ((HEADS, queries), (groups, queries), (groups, queries))
    return [
        randn(ROWS, heads, length, D, seed=3 + i).requires_grad_()
        for i, (heads, length) in enumerate(shapes)
    ]


MASKS = {
    "none": None,
    "for all rows": torch.tensor([True, False, True, True, False, True])[None, None, None],
    "for each row": randn(ROWS, 1, LENGTH + 1, seed=6)[:, None],
    "for each head": randn(1, HEADS, 1, LENGTH + 1, seed=7),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("groups", [1, GROUPS, HEADS])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_outputs_and_gradients_are_those_of_the_fused_kernel(
    mask: str, groups: int, scale: float | None
) -> None:
    cache, given = frozen(groups), inputs(groups)
    settings = {"attn_mask": MASKS[mask], "scale": scale, "enable_gqa": groups != HEADS}
    expected = attend(cache, given, **settings)
    with OneQueryAttention(cache), Fused() as fused:
        found = attend(cache, given, **settings)
    assert fused.calls == 0
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    weight = randn(*expected.shape, seed=8)
    for mine, theirs in zip(
        torch.autograd.grad(found, given, weight),
        torch.autograd.grad(expected, given, weight),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def test_several_queries_go_to_the_fused_kernel() -> None:
    cache, given = frozen(HEADS), inputs(HEADS, queries=2)
    with OneQueryAttention(cache), Fused() as fused:
        found = attend(cache, given)
    assert fused.calls == 1
    assert torch.equal(found, attend(cache, given))


def test_keys_that_were_changed_since_they_were_joined_go_to_the_fused_kernel() -> None:
    cache, (query, key, value) = frozen(HEADS), inputs(HEADS)
    keys, values = cache.update(key, value, 0)
    with OneQueryAttention(cache), Fused() as fused:
        found = scaled_dot_product_attention(query, keys.flip(-2), values)
    assert fused.calls == 1
    assert torch.equal(found, scaled_dot_product_attention(query, keys.flip(-2), values))
