"""How long a token takes, steered and not."""

import time
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from torch import nn

from steersman.conditions import Condition
from steersman.data import Example
from steersman.sampling import sample


class Paces(NamedTuple):
    """Seconds a token, turn by turn.

    Attributes:
        steered: of each turn.
        unsteered: of the same turns.
    """

    steered: tuple[float, ...]
    unsteered: tuple[float, ...]

    def medians(self) -> dict[str, float]:
        """Of both sides, and how many times as long the steered one took."""
        steered, bare = median(self.steered), median(self.unsteered)
        return {
            "seconds_per_token": steered,
            "unsteered_seconds_per_token": bare,
            "times_unsteered": steered / bare,
        }


def paces(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[Example],
    condition: Condition,
    *,
    new_tokens: int,
    repeats: int,
) -> Paces:
    """Seconds a token of one batch, steered and unsteered in turn after one turn to warm up.

    The prompts' own pass counts, shared among the new tokens.

    Args:
        model: the model, with nothing attached.
        tokenizer: its tokenizer.
        prompts: one batch.
        condition: what steers.
        new_tokens: how many follow each prompt at most.
        repeats: how often.
    """
    found: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats + 1):
        for one, taken in zip((condition, Condition()), found, strict=True):
            with one.attach(model):
                started = time.perf_counter()
                (drawn,) = sample(
                    *(model, tokenizer, prompts),
                    new_tokens=new_tokens,
                    seed=0,
                    batch_size=len(prompts),
                )
                seconds = time.perf_counter() - started
            if turn:
                taken.append(seconds / drawn.drawn.numel())
    return Paces(*(tuple(taken) for taken in found))
