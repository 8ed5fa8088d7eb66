"""A tiny random model with a steering on it, and the embedded one with its own."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from bounded_models import Embedded, Tiny, embedded_case, tiny_case  # noqa: E402


@pytest.fixture(scope="session")
def tiny(tiny_model, tiny_tokenizer) -> Tiny:
    """A random Llama in float64, far from linear, with plants, prompts and steerings."""
    return tiny_case(tiny_tokenizer)


@pytest.fixture(scope="session")
def embedded() -> Embedded:
    """The embedded model, its plant, prompts and two steerings of toxicity."""
    return embedded_case()
