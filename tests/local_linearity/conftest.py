"""A small model, prompts for it, and its answers without any of the code under test."""

import pytest
import torch
from small_domains import DOMAINS, Answer
from tiny_models import tiny_model as fresh_model
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from steersman.local_linearity.prompts import Prepared, prepare
from steersman.plant import HookSet, hidden_in, hidden_out, locate, with_hidden_in


@pytest.fixture(scope="session")
def smooth() -> PreTrainedModel:
    """A tiny GPT-2 in float64: smooth everywhere, and in full precision throughout."""
    return fresh_model("gpt2").double()


@pytest.fixture(scope="session")
def prepared(smooth: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerFast) -> Prepared:
    """The prompts of both domains."""
    return prepare(smooth, tiny_tokenizer, DOMAINS)


@pytest.fixture(scope="session")
def answer() -> Answer:
    """`answer(model, ids, t, d)`: block t's output at the last token where d is added to x_t there.

    The whole sequence runs through the whole model, without a cache.
    """

    def run(model: PreTrainedModel, ids: Tensor, block: int, d: Tensor) -> Tensor:
        found: list[Tensor] = []

        def move(args: tuple[object, ...], kwargs: dict[str, object]) -> object:
            x = hidden_in(args, kwargs)
            moved = torch.cat([x[:, :-1], x[:, -1:] + d.to(x)], dim=1)
            return with_hidden_in(args, kwargs, moved)

        def keep(args: tuple[object, ...], kwargs: dict[str, object], output: object) -> None:
            found.append(hidden_out(output)[0, -1])

        module = locate(model).modules[block]
        with HookSet() as hooks:
            hooks.before(module, move)
            hooks.after(module, keep)
            model(input_ids=ids, use_cache=False)
        return found[0]

    return run
