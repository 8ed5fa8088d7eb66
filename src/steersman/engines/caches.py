"""Key-value caches whose rows come and go: rows are left padded, so that all end in one column."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from steersman.plant import unwrap

_ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}


def joinable(model: nn.Module) -> bool:
    """Whether all that the model remembers of a row are keys and values, a column each token.

    Rows of such a model can be padded and put together at any time. A recurrent state has no
    columns.
    """
    config = getattr(unwrap(model), "config", None)
    get_text = getattr(config, "get_text_config", None)
    text = get_text() if callable(get_text) else config
    kinds = getattr(text, "layer_types", None) or ()
    return not getattr(unwrap(model), "_is_stateful", False) and set(kinds) <= _ATTENTION


def empty_cache(model: nn.Module) -> DynamicCache:
    """A cache for a new batch; of a joinable model it keeps every column, also of sliding windows.

    Args:
        model: the model that will fill it.
    """
    config: Any = getattr(unwrap(model), "config", None)
    return DynamicCache() if joinable(model) else DynamicCache(config=config)


def rows_of(cache: DynamicCache, rows: Int[Tensor, " kept"], drop: int) -> DynamicCache:
    """Some rows of a cache without its first columns, as a cache of its own.

    Args:
        cache: that of a joinable model; it stays as it is.
        rows: which rows, in the new order.
        drop: how many columns at the front are padding in all of them.
    """

    def cut(of: Tensor) -> Tensor:
        return of.index_select(0, rows.to(of.device))[:, :, drop:]

    return _made([(cut(keys), cut(values)) for keys, values in _layers(cache)])


def stacked(caches: Sequence[DynamicCache]) -> DynamicCache:
    """The rows of several caches, one after the other, padded on the left to the longest.

    Args:
        caches: those of one joinable model; they stay as they are.
    """
    longest = max(cache.get_seq_length() for cache in caches)

    def wide(of: Tensor) -> Tensor:
        return pad(of, (0, 0, longest - of.shape[2], 0))

    layers = zip(*(_layers(cache) for cache in caches), strict=True)
    return _made(
        [
            (
                torch.cat([wide(keys) for keys, _ in layer]),
                torch.cat([wide(values) for _, values in layer]),
            )
            for layer in layers
        ]
    )


def _layers(cache: DynamicCache) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of every layer; one that shares those of another has none."""
    nothing = torch.empty(0, 1, 0, 1)
    layers: Sequence[Any] = cache.layers
    return [
        (layer.keys, layer.values) if layer.is_initialized else (nothing, nothing)
        for layer in layers
    ]


def _made(layers: Sequence[tuple[Tensor, Tensor]]) -> DynamicCache:
    cache = DynamicCache()
    for keys, values in layers:
        layer: Any = DynamicLayer()  # type: ignore[no-untyped-call]
        if keys.numel():
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache
