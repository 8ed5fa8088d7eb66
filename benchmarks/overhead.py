"""What steering costs a running model: seconds a token of greedy generation, with and without.

Two models that share their weights generate side by side, one of them steered, and take turns
token by token: what slows the machine for a while slows both, and where the weights lie in memory
is the same. The first tokens, which a law may be worked out for, are left out, as is the prefill.
"""

import copy
import time
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from parts import Cell, Parts
from random_llama import random_llama
from synthetic import random_steering
from timing import Seconds, columns, ratios, spread
from torch import Tensor

WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "plan": ("a-lqr", {"trace": False}),
    "plan, traced": ("a-lqr", {"trace": True}),
    "plan, matching tokens": ("a-lqr", {"tokens": "matching", "trace": False}),
    "plan, capped": ("a-lqr", {"cap": 0.1, "trace": False}),
    "absolute feedback": ("a-lqr", {"reference": "absolute", "trace": False}),
    "S-PID, absolute feedback": ("s-pid", {"reference": "absolute", "trace": False}),
    "angular, absolute": ("angular", {"reference": "absolute", "trace": False}),
    "counterfactual, rank 8": ("counterfactual", {"trace": False}),
    "relative feedback": ("a-lqr", {"execution": "feedback", "trace": False}),
}
"""Whose law the second side of each pair has, and how it is attached, from the prompt's last token
on unless it says otherwise. A plan is the same for every method that has one."""
OFTEN = ("unsteered", "plan", "plan, traced")
"""What is timed over more tokens: what everybody runs, and costs least."""
NOISE = "unsteered"
"""The side that is compared with itself, which shows what pairs cannot tell."""
WARM = 4
"""Tokens at the start that do not count."""


def parts(config: dict[str, Any]) -> Parts:
    """Every width and batch size."""
    return {
        f"n = {n}, batch {batch}": partial(_cells, config, n, batch)
        for n in config["widths"]
        for batch in config["batches"]
    }


def _cells(config: dict[str, Any], n: int, batch: int) -> list[Cell]:
    bare = random_llama(n, config["blocks"], config["vocabulary"])
    other = copy.deepcopy(bare, {id(weights): weights for weights in bare.parameters()})
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(config["vocabulary"], (batch, config["prompt"]), generator=generator)
    found: dict[str, dict[str, Any]] = {}
    for way in (NOISE, *WAYS):
        steered = nullcontext() if way == NOISE else attached(other, way)
        new_tokens = config["new_tokens" if way not in OFTEN else "new_tokens_often"]
        before, after = in_turn(bare, other, steered, ids, new_tokens)
        more = {name: [100 * (r - 1) for r in both] for name, both in ratios(after, before).items()}
        found[way] = {
            "unsteered_seconds": columns(before),
            "seconds": columns(after),
            "unsteered_tokens_per_second": spread([batch / s.processor for s in before]),
            "tokens_per_second": spread([batch / s.processor for s in after]),
            "overhead_percent_spread": spread(more["processor"]),
        }
        print(_line(way, found[way]["overhead_percent_spread"]), flush=True)
    return [{"n": n, "batch": batch, "ways": found}]


def attached(model: Any, way: str) -> AbstractContextManager[Any]:
    """A random steering, attached in one of the ways, not yet entered."""
    method, settings = WAYS[way]
    steering = random_steering(model, strength=0.01, method=method)
    return steering.attach(model, 0.5, **{"tokens": "last", **settings})


def _line(way: str, percent: dict[str, float]) -> str:
    low, high = percent["quartile_low"], percent["quartile_high"]
    return f"{way:24} {percent['median']:6.2f} % more time (quartiles {low:.2f}, {high:.2f})"


class _Generation:
    """Greedy generation with one model, a token at a time."""

    def __init__(self, model: Any, ids: Tensor) -> None:
        """Run the prompt."""
        self._model = model
        self._mask = torch.ones_like(ids)
        self._cache: Any = None
        self._next = ids
        self.token()

    def token(self) -> Seconds:
        """How long the next one takes."""
        clock, processor = time.perf_counter(), time.process_time()
        out = self._model(
            input_ids=self._next,
            attention_mask=self._mask,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._cache = out.past_key_values
        self._next = out.logits[:, -1:].argmax(-1)
        self._mask = torch.cat([self._mask, torch.ones_like(self._next)], dim=1)
        return Seconds(time.perf_counter() - clock, time.process_time() - processor)


@torch.no_grad()
def in_turn(
    bare: Any, other: Any, steered: AbstractContextManager[Any], ids: Tensor, new_tokens: int
) -> tuple[list[Seconds], list[Seconds]]:
    """The times of every token of both sides; which goes first changes from token to token."""
    taken: tuple[list[Seconds], list[Seconds]] = ([], [])
    with steered:
        sides = _Generation(bare, ids), _Generation(other, ids)
        for token in range(WARM + new_tokens):
            for side in (0, 1) if token % 2 else (1, 0):
                seconds = sides[side].token()
                if token >= WARM:
                    taken[side].append(seconds)
    return taken
