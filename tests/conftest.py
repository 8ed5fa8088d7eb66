"""Shapes are checked in every test; tiny models and a tiny tokenizer are shared by all."""

import os

from jaxtyping import install_import_hook

# No library that a test uses is to ask the network for anything of its own.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

# Before anything imports the package, so that every annotated shape is really checked.
install_import_hook("steersman", "beartype.beartype")

import sys  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from functools import lru_cache  # noqa: E402
from pathlib import Path  # noqa: E402

import jaxtyping  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent / "plant"))

import tiny_models as tiny  # noqa: E402
from transformers import PreTrainedModel, PreTrainedTokenizerFast  # noqa: E402

torch.set_num_threads(1)  # tiny tensors gain nothing from threads, and parallel tests would fight


@pytest.fixture(scope="session")
def tiny_model() -> Callable[[str], PreTrainedModel]:
    """`tiny_model("llama")`: a tiny random model of that type, shared, so never to be changed."""
    return lru_cache(maxsize=None)(tiny.tiny_model)


@pytest.fixture(scope="session")
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer of the tiny models' vocabulary, with a pad token and a BOS token."""
    return tiny.tiny_tokenizer(pad=True)


@pytest.fixture(scope="session")
def tiny_tokenizer_without_pad() -> PreTrainedTokenizerFast:
    """The same tokenizer without a pad token."""
    return tiny.tiny_tokenizer(pad=False)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Shapes are not checked by jaxtyping, so that our own errors have to speak."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
