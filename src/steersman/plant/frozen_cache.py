"""A cache that answers with the prefix and never grows."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedConfig
from transformers.cache_utils import CacheLayerMixin, DynamicLayer, DynamicSlidingWindowLayer

_KNOWN_LAYERS = (DynamicLayer, DynamicSlidingWindowLayer)


class Joined(NamedTuple):
    """Keys or values: those of the prefix, once for all rows, and the new ones of each row."""

    prefix: Float[Tensor, "heads length d"]
    new: Float[Tensor, "rows heads d"]


class _FrozenLayer(CacheLayerMixin):
    """The keys and values of one block's prefix, in front of whatever it is given.

    Args:
        prefix: they.
        recent: where to note what was joined last, in any block.
    """

    def __init__(self, prefix: CacheLayerMixin, recent: list[tuple[Tensor, Joined]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.prefix = prefix
        self.recent = recent
        self.is_sliding = bool(getattr(prefix, "is_sliding", False))

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing is stored, so nothing is prepared."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """The prefix for every row of the batch, then the new entries, which are not kept."""
        keys, values = self.prefix.keys, self.prefix.values
        if keys is None or values is None or keys.numel() == 0:
            return key_states, value_states
        self.recent.clear()
        return self._after(keys, key_states), self._after(values, value_states)

    def _after(self, prefix: Tensor, new: Tensor) -> Tensor:
        fixed = prefix.to(new.device)
        whole = torch.cat([fixed.expand(new.shape[0], *fixed.shape[1:]), new], dim=-2)
        if new.shape[-2] == 1:
            self.recent.append((whole, Joined(fixed[0], new[:, :, 0])))
        return whole

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of what `update` returns, as the prefix's own layer counts them."""
        length, offset = self.prefix.get_mask_sizes(query_length)
        return int(length), int(offset)

    def get_seq_length(self) -> int:
        """Length of the prefix."""
        return int(self.prefix.get_seq_length())

    def get_max_length(self) -> int:
        """Whatever the prefix's own layer says."""
        return int(self.prefix.get_max_length())


class FrozenCache(Cache):
    """Earlier keys and values for every row of a batch; `update` returns them + the new ones.

    Args:
        prefix: the `freezable` cache of a prefix of one row.
    """

    def __init__(self, prefix: Cache) -> None:
        """Wrap a cache; it is not copied and not changed."""
        self._recent: list[tuple[Tensor, Joined]] = []
        known = [layer for layer in prefix.layers if isinstance(layer, DynamicLayer)]
        super().__init__(layers=[_FrozenLayer(layer, self._recent) for layer in known])

    def parts(self, whole: Tensor) -> Joined | None:
        """What the very tensor that the last `update` returned was joined from; None of another."""
        return next((parts for joined, parts in self._recent if joined is whole), None)


class Filled(Exception):
    """The last block has noted its keys and values: nothing else is wanted of the prefix."""


class PrefixCache(DynamicCache):
    """A cache that ends the forward pass as soon as the last block has noted its keys and values.

    What that block goes on to make of the prefix is read by nobody: with `T` blocks it is nearly a
    `T`-th of the pass.

    Args:
        config: of the model.
        blocks: how many blocks there are.
    """

    def __init__(self, config: PreTrainedConfig, blocks: int) -> None:
        """Start empty."""
        super().__init__(config=config)
        self._last = blocks - 1

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Note them.

        Raises:
            Filled: they were those of the last block.
        """
        found = super().update(key_states, value_states, layer_idx, *args, **kwargs)
        if layer_idx == self._last:
            raise Filled
        return found


def freezable(cache: object) -> bool:
    """Whether a model's cache holds nothing but keys and values of earlier tokens."""
    return isinstance(cache, Cache) and all(type(layer) in _KNOWN_LAYERS for layer in cache.layers)


def empty_cache(config: PreTrainedConfig) -> Cache:
    """The cache a model of this configuration starts from."""
    return DynamicCache(config=config)
