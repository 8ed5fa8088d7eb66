"""Two Llamas that every package is tried on: a random one made here, and the embedded one.

Packages that are not installed skip their tests; `make test-peers` installs them.
"""

import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

import steersman as sm
from steersman.methods import Method
from steersman.windtunnel import behaviour, load


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with its tokenizer, pairs of texts, and a prompt.

    Args:
        model: never changed; packages that change what they are given get a copy.
        tokenizer: likewise.
        pairs: of texts, paired.
        prompt: ids of one row.
    """

    model: Any
    tokenizer: Any
    pairs: sm.ContrastivePairs
    prompt: torch.Tensor

    @property
    def copied(self) -> Any:
        """The model again, for somebody who wraps or hooks it."""
        return deepcopy(self.model)

    @property
    def tuples(self) -> list[tuple[str, str]]:
        """The pairs as two texts each."""
        return [
            (str(a), str(b)) for a, b in zip(self.pairs.desired, self.pairs.undesired, strict=True)
        ]

    def fit(self, method: Method, **settings: Any) -> sm.Steering:
        """A steering of ours from the pairs, without its doubts."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return sm.fit(
                *(self.model, self.tokenizer, self.pairs),
                method=method,
                progress=False,
                **settings,
            )

    @torch.no_grad()
    def logits(self, steering: sm.Steering, target: float = 1.0) -> torch.Tensor:
        """Of the prompt under a steering of ours, at every token."""
        with steering.attach(self.model, target, tokens="all", trace=False):
            return self.model(self.prompt).logits


def random_llama(tiny_model: Callable[[str], PreTrainedModel], tokenizer: Any) -> Subject:
    words = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    pairs = sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]} {words[0]}" for i in range(2, 14)],
        undesired=[f"{words[-i]} {words[-i - 1]} {words[i]} {words[0]}" for i in range(2, 14)],
    )
    return Subject(tiny_model("llama"), tokenizer, pairs, torch.arange(6, 16)[None])


def embedded() -> Subject:
    model, tokenizer = load()
    pairs = behaviour("toxicity").pairs(seed=0, count=24)
    prompt = torch.tensor([tokenizer(str(pairs.undesired[-1]))["input_ids"]])
    return Subject(model, tokenizer, pairs, prompt)


@pytest.fixture(params=["random", "embedded"])
def subject(request: Any, tiny_model: Callable[[str], PreTrainedModel]) -> Subject:
    """Each of the two in turn."""
    if request.param == "embedded":
        return embedded()
    return random_llama(tiny_model, deepcopy(request.getfixturevalue("tiny_tokenizer")))
