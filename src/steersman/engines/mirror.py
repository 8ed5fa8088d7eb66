"""What generation does to a cache between two passes is done to whatever goes with it."""

from collections.abc import Callable, Sequence
from typing import Any

_MIRRORED = ("reorder_cache", "crop", "batch_repeat_interleave", "batch_select_indices")


class Mirror:
    """Follows one cache of the caller's: rows that are reordered, repeated, selected or cut.

    Beam search reorders the rows of its cache, assisted generation cuts it. Followers have methods
    of the same names; those that they lack are not called.

    Args:
        always: followers of every cache.
    """

    def __init__(self, always: Sequence[object] = ()) -> None:
        """Follow nothing yet."""
        self._always = tuple(always)
        self._cache: Any = None

    def follows(self, cache: object) -> bool:
        """Whether it is this cache that is followed."""
        return cache is self._cache

    def follow(self, cache: Any, others: Sequence[object] = ()) -> None:
        """Follow this cache from now on, and no other.

        Args:
            cache: the caller's.
            others: followers of this cache alone.
        """
        self.close()
        self._cache = cache
        for name in _MIRRORED:
            if hasattr(cache, name):
                found = [getattr(one, name, None) for one in (*self._always, *others)]
                calls = [call for call in found if call is not None]
                cache.__dict__[name] = _after(calls, getattr(cache, name))

    def close(self) -> None:
        """Give the caller's cache its own methods back."""
        if self._cache is not None:
            for name in _MIRRORED:
                self._cache.__dict__.pop(name, None)
        self._cache = None


def _after(calls: Sequence[Callable[..., Any]], own: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        for one in calls:
            one(*args, **kwargs)
        return own(*args, **kwargs)

    return call
