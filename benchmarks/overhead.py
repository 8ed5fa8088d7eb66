"""What steering costs a running model: tokens a second of greedy generation, with and without."""

from functools import partial
from typing import Any

import torch
from random_llama import random_llama
from synthetic import random_steering
from timing import alternate, ratios, spread
from torch import Tensor

from steersman.steering import Steering

WAYS: dict[str, dict[str, Any]] = {
    "unsteered": {},
    "plan": {"tokens": "last", "trace": False},
    "plan, traced": {"tokens": "last", "trace": True},
    "plan, matching tokens": {"tokens": "matching", "trace": False},
    "absolute feedback": {"tokens": "last", "reference": "absolute", "trace": False},
    "relative feedback": {"tokens": "last", "execution": "feedback", "trace": False},
}
"""How the second side of each pair is attached; "unsteered" again shows the noise of a pair."""


def measure(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Every width and batch size."""
    cells = []
    for n in config["widths"]:
        model = random_llama(n, config["blocks"], config["vocabulary"])
        steering = random_steering(model, strength=0.01)
        for batch in config["batches"]:
            cells.append({"n": n, "batch": batch, **_cell(config, model, steering, batch)})
    return cells


def _cell(config: dict[str, Any], model: Any, steering: Steering, batch: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(config["vocabulary"], (batch, config["prompt"]), generator=generator)
    bare = partial(_generate, model, ids, config["new_tokens"])
    tokens = batch * config["new_tokens"]
    found = {}
    for way, settings in WAYS.items():

        def steered(settings: dict[str, Any] = settings) -> None:
            with steering.attach(model, 0.5, **settings):
                bare()

        other = steered if settings else bare
        unsteered_seconds, steered_seconds = alternate(bare, other, config["pairs"])
        percent = [100 * (r - 1) for r in ratios(steered_seconds, unsteered_seconds)]
        found[way] = {
            "unsteered_seconds": unsteered_seconds,
            "seconds": steered_seconds,
            "unsteered_tokens_per_second": spread([tokens / s for s in unsteered_seconds]),
            "tokens_per_second": spread([tokens / s for s in steered_seconds]),
            "overhead_percent": percent,
            "overhead_percent_spread": spread(percent),
        }
    return {"ways": found}


def _generate(model: Any, ids: Tensor, new_tokens: int) -> None:
    made = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        min_new_tokens=new_tokens,
        max_new_tokens=new_tokens,
    )
    if made.shape[1] != ids.shape[1] + new_tokens:
        raise RuntimeError(f"generated {made.shape[1] - ids.shape[1]} tokens, not {new_tokens}")
