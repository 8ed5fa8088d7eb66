"""A cache that answers with the prefix and never grows."""

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedConfig
from transformers.cache_utils import CacheLayerMixin, DynamicLayer, DynamicSlidingWindowLayer

_KNOWN_LAYERS = (DynamicLayer, DynamicSlidingWindowLayer)


class _FrozenLayer(CacheLayerMixin):
    """The keys and values of one block's prefix, in front of whatever it is given."""

    def __init__(self, prefix: CacheLayerMixin) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.prefix = prefix
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
        return _after(keys, key_states), _after(values, value_states)

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


def _after(prefix: Tensor, new: Tensor) -> Tensor:
    rows = prefix.to(new.device).expand(new.shape[0], *prefix.shape[1:])
    return torch.cat([rows, new], dim=-2)


class FrozenCache(Cache):
    """Earlier keys and values for every row of a batch; `update` returns them + the new ones.

    Args:
        prefix: the `freezable` cache of a prefix of one row.
    """

    def __init__(self, prefix: Cache) -> None:
        """Wrap a cache; it is not copied and not changed."""
        layers = [_FrozenLayer(layer) for layer in prefix.layers if isinstance(layer, DynamicLayer)]
        super().__init__(layers=[*layers])


def freezable(cache: object) -> bool:
    """Whether a model's cache holds nothing but keys and values of earlier tokens."""
    return isinstance(cache, Cache) and all(type(layer) in _KNOWN_LAYERS for layer in cache.layers)


def empty_cache(config: PreTrainedConfig) -> Cache:
    """The cache a model of this configuration starts from."""
    return DynamicCache(config=config)
