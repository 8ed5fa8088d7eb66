"""What steering costs a running model: seconds a token of greedy generation, with and without.

Steered and unsteered runs take turns. A run counts by the median of its tokens' times, behind the
prompt, so that neither the prefill nor a few tokens that something else delayed decide.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from parts import Cell, Parts
from random_llama import random_llama
from synthetic import random_steering
from timing import Seconds, columns, ratios, spread
from torch import Tensor
from transformers import LogitsProcessorList

from steersman.engines import Run

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
NOISE = "unsteered"
"""The side that is compared with itself, which shows what a pair cannot tell."""


def parts(config: dict[str, Any]) -> Parts:
    """Every width and batch size."""
    return {
        f"n = {n}, batch {batch}": partial(_cells, config, n, batch)
        for n in config["widths"]
        for batch in config["batches"]
    }


def _cells(config: dict[str, Any], n: int, batch: int) -> list[Cell]:
    model = random_llama(n, config["blocks"], config["vocabulary"])
    return [{"n": n, "batch": batch, **_cell(config, model, batch)}]


def _cell(config: dict[str, Any], model: Any, batch: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(config["vocabulary"], (batch, config["prompt"]), generator=generator)
    bare = partial(_generate, model, ids, config["new_tokens"])
    found: dict[str, dict[str, Any]] = {}
    for way in (NOISE, *WAYS):
        other = bare if way == NOISE else partial(_steered, model, way, bare)
        bare(), other()
        runs = [(bare(), other()) for _ in range(config["pairs"])]
        before, after = (list(side) for side in zip(*runs, strict=True))
        more = {name: [100 * (r - 1) for r in both] for name, both in ratios(after, before).items()}
        found[way] = {
            "unsteered_seconds": columns(before),
            "seconds": columns(after),
            "unsteered_tokens_per_second": spread([batch / s.processor for s in before]),
            "tokens_per_second": spread([batch / s.processor for s in after]),
            "overhead_percent": more,
            "overhead_percent_spread": spread(more["processor"]),
        }
        print(_line(way, found[way]["overhead_percent_spread"]), flush=True)
    return {"ways": found}


def _steered(model: Any, way: str, bare: Callable[[], Seconds]) -> Seconds:
    with attached(model, way):
        return bare()


def attached(model: Any, way: str) -> Run:
    """A random steering, attached in one of the ways, not yet entered."""
    method, settings = WAYS[way]
    steering = random_steering(model, strength=0.01, method=method)
    return steering.attach(model, 0.5, **{"tokens": "last", **settings})


def _line(way: str, percent: dict[str, float]) -> str:
    low, high = percent["quartile_low"], percent["quartile_high"]
    return f"{way:24} {percent['median']:6.2f} % more time (quartiles {low:.2f}, {high:.2f})"


def _generate(model: Any, ids: Tensor, new_tokens: int) -> Seconds:
    """The median time from one token to the next."""
    stamps: list[Seconds] = []

    def note(ids: Tensor, logits: Tensor) -> Tensor:
        stamps.append(Seconds(time.perf_counter(), time.process_time()))
        return logits

    made = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        min_new_tokens=new_tokens,
        max_new_tokens=new_tokens,
        logits_processor=LogitsProcessorList([note]),
    )
    if made.shape[1] != ids.shape[1] + new_tokens:
        raise RuntimeError(f"generated {made.shape[1] - ids.shape[1]} tokens, not {new_tokens}")
    clock, processor = (
        statistics.median(b - a for a, b in zip(times, times[1:], strict=False))
        for times in zip(*stamps, strict=True)
    )
    return Seconds(clock, processor)
