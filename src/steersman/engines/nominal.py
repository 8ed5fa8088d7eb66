"""The nominal run: the same tokens through the bare model, for laws with a relative reference.

The nominal keeps a cache of its own beside the caller's, so that it is the run that the model
would have made, given these tokens, had it never been steered. What generation does to its cache
between passes (reorder for beams, crop, repeat, select) is done to both.
"""

import copy
from collections.abc import Callable
from typing import Any

from torch import nn

_MIRRORED = ("reorder_cache", "crop", "batch_repeat_interleave", "batch_select_indices")
_DROPPED = ("labels", "output_hidden_states", "output_attentions", "return_dict")


class NominalRun:
    """Runs the bare model on what the steered model is about to see.

    Args:
        model: the model; its forward is called, its hooks of other owners run too.
    """

    def __init__(self, model: nn.Module) -> None:
        """Start with no cache."""
        self._model = model
        self._real: Any = None
        self._twin: Any = None
        self._created: Any = None

    def before(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Run the bare model on a call's arguments; the block hooks must be in passive state."""
        given = {key: value for key, value in kwargs.items() if key not in _DROPPED}
        real = kwargs.get("past_key_values")
        if real is not None:
            if real is not self._real:
                self._bind(real, copy.deepcopy(real))
            given["past_key_values"] = self._twin
        output = self._model.forward(*args, **given)
        self._created = getattr(output, "past_key_values", None) if real is None else None

    def after(self, output: Any) -> None:
        """Pair the cache that the steered pass made with the one that the nominal pass made."""
        made = getattr(output, "past_key_values", None)
        if made is not None and self._created is not None and made is not self._real:
            self._bind(made, self._created)
        self._created = None

    def close(self) -> None:
        """Give the caller's cache its own methods back."""
        if self._real is not None:
            for name in _MIRRORED:
                self._real.__dict__.pop(name, None)
        self._real = self._twin = self._created = None

    def _bind(self, real: Any, twin: Any) -> None:
        self.close()
        self._real, self._twin = real, twin
        for name in _MIRRORED:
            if hasattr(real, name):
                real.__dict__[name] = _both(getattr(real, name), getattr(twin, name))


def _both(first: Callable[..., Any], second: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        second(*args, **kwargs)
        return first(*args, **kwargs)

    return call
