"""The nominal run: the same tokens through the bare model, for laws with a relative reference.

The nominal keeps a cache of its own beside the caller's, so that it is the run that the model
would have made, given these tokens, had it never been steered.
"""

import copy
from typing import Any

from torch import nn

from steersman.engines.mirror import Mirror

_DROPPED = ("labels", "output_hidden_states", "output_attentions", "return_dict")


class NominalRun:
    """Runs the bare model on what the steered model is about to see.

    Args:
        model: the model; its forward is called, its hooks of other owners run too.
        mirror: does to the nominal's cache what is done to the caller's.
    """

    def __init__(self, model: nn.Module, mirror: Mirror) -> None:
        """Start with no cache."""
        self._model = model
        self._mirror = mirror
        self._twin: Any = None
        self._created: Any = None

    def before(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Run the bare model on a call's arguments; the block hooks must be in passive state."""
        given = {key: value for key, value in kwargs.items() if key not in _DROPPED}
        real = kwargs.get("past_key_values")
        if real is not None:
            if not self._mirror.follows(real):
                self._bind(real, copy.deepcopy(real))
            given["past_key_values"] = self._twin
        output = self._model.forward(*args, **given)
        self._created = getattr(output, "past_key_values", None) if real is None else None

    def after(self, output: Any) -> None:
        """Pair the cache that the steered pass made with the one that the nominal pass made."""
        made = getattr(output, "past_key_values", None)
        if made is not None and self._created is not None and not self._mirror.follows(made):
            self._bind(made, self._created)
        self._created = None

    @property
    def cache(self) -> Any:
        """The nominal's own, beside the caller's; None before a pass."""
        return self._twin

    def resume(self, real: Any, twin: Any) -> None:
        """Go on from caches that another run has filled.

        Args:
            real: the caller's.
            twin: the nominal's.
        """
        self._bind(real, twin)

    def close(self) -> None:
        """Forget every cache."""
        self._twin = self._created = None

    def _bind(self, real: Any, twin: Any) -> None:
        self._twin = twin
        self._mirror.follow(real, (twin,))
