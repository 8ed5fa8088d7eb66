"""The engines by name."""

from collections.abc import Callable
from typing import Any

from torch import nn

from steersman.errors import InputError, UnknownNameError
from steersman.serving.limits import Limits
from steersman.serving.protocol import Engine
from steersman.serving.transformers_engine import TransformersEngine

Make = Callable[[nn.Module, Any, Limits], Engine]
"""Makes an engine of a loaded model and its tokenizer."""


def engine_named(name: str) -> Make:
    """What makes the engine of that name.

    Raises:
        InputError: it cannot be had yet.
        UnknownNameError: there is none.
    """
    if name == "transformers":
        return TransformersEngine
    if name == "vllm":
        raise InputError(
            "steersman does not serve through vLLM yet. Use --engine transformers, which needs "
            "nothing more than pip install 'steersman[serve]'."
        )
    raise UnknownNameError(f"there is no engine {name!r}; choose transformers or vllm.")
