"""How long a token takes, steered and not."""

import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from torch import nn

from steersman.conditions import Condition
from steersman.data import Example
from steersman.sampling import sample


def speed(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[Example],
    condition: Condition,
    *,
    new_tokens: int,
    repeats: int,
) -> dict[str, float]:
    """Median seconds a token of one batch, steered and unsteered in turn after one turn to warm up.

    The prompts' own pass counts, shared among the new tokens.

    Args:
        model: the model, with nothing attached.
        tokenizer: its tokenizer.
        prompts: one batch.
        condition: what steers.
        new_tokens: how many follow each prompt at most.
        repeats: how often.
    """
    sides = {"seconds_per_token": condition, "unsteered_seconds_per_token": Condition()}
    found: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(repeats + 1):
        for name, one in sides.items():
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
                found[name].append(seconds / drawn.drawn.numel())
    told = {name: median(values) for name, values in found.items()}
    return told | {
        "times_unsteered": told["seconds_per_token"] / told["unsteered_seconds_per_token"]
    }
