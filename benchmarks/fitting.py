"""What fitting costs: the time of a fit and the examples that it runs, in passes over the pairs.

One pass is every example of both sides once. Each method that is not trained is fitted from the
same pairs: with nothing kept, and again where the states have been kept. Methods that need a plant
are given one, whose price is the same for all and is timed by itself.
"""

import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

from overhead_of_methods import plant
from parts import Cell, Parts
from random_llama import random_llama
from timing import taken_by

import steersman as sm
from steersman.methods import METHODS
from steersman.plant import capture_states
from steersman.windtunnel import behaviour, load

PASS, PLANT = "one pass", "the plant"


def parts(config: dict[str, Any]) -> Parts:
    """The pass and the plant by themselves, and every method that is not trained."""
    untrained = [name for name, method in METHODS.items() if not method.trains]
    alone = {PASS: partial(_pass, config), PLANT: partial(_plant, config)}
    return alone | {name: partial(_fits, config, name) for name in untrained}


def summary(config: dict[str, Any], cells: list[Cell]) -> list[Cell]:
    """Every fit's time in passes."""
    (one,) = (cell["seconds"] for cell in cells if cell["name"] == PASS)
    return [
        {
            "name": cell["name"],
            "passes": cell["passes"],
            "times_a_pass": cell["seconds"] / one,
            "times_a_pass_when_kept": cell["kept_seconds"] / one
            if "kept_seconds" in cell
            else None,
        }
        for cell in cells
    ]


def _pass(config: dict[str, Any]) -> list[Cell]:
    model, tokenizer, pairs = _subject(config["n"], config["blocks"], config["pairs"])

    def run() -> None:
        for side in (pairs.desired, pairs.undesired):
            capture_states(model, tokenizer, side)

    run()
    return [{"name": PASS, "passes": 1.0, "seconds": taken_by(run).processor}]


def _plant(config: dict[str, Any]) -> list[Cell]:
    model, tokenizer, pairs = _subject(config["n"], config["blocks"], config["pairs"])
    prompts = pairs.desired[: config["jacobian_prompts"]]
    with examples_run(model) as rows:
        start = time.process_time()
        sm.identify(model, tokenizer, prompts, progress=False)
        seconds = time.process_time() - start
    return [{"name": PLANT, "passes": sum(rows) / (2 * config["pairs"]), "seconds": seconds}]


def _fits(config: dict[str, Any], name: str) -> list[Cell]:
    model, tokenizer, pairs = _subject(config["n"], config["blocks"], config["pairs"])
    known = plant(model) if METHODS[name].plant != "none" else None
    cell: Cell = {"name": name}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for key, cache_at in (("", None), ("filling_", folder), ("kept_", folder)):
            with examples_run(model) as rows:
                start = time.process_time()
                sm.fit(
                    *(model, tokenizer, pairs),
                    method=name,
                    jacobian_prompts=known,
                    cache=cache_at,
                    progress=False,
                )
                cell[f"{key}seconds"] = time.process_time() - start
            cell[f"{key}passes"] = sum(rows) / (2 * config["pairs"])
    print(f"{name:22} {cell['passes']:.1f} passes, {cell['seconds']:.2f} s", flush=True)
    return [cell]


@contextmanager
def examples_run(model: Any) -> Iterator[list[int]]:
    """How many rows each forward pass has, from here on."""
    rows: list[int] = []

    def count(module: Any, args: Any, kwargs: Any) -> None:
        ids = args[0] if args else kwargs["input_ids"]
        rows.append(len(ids))

    handle = model.base_model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield rows
    finally:
        handle.remove()


@cache
def _subject(n: int, blocks: int, count: int) -> tuple[Any, Any, sm.ContrastivePairs]:
    """A random model with the embedded one's vocabulary, and pairs of texts."""
    _, tokenizer = load()
    model = random_llama(n, blocks, len(tokenizer))
    return model, tokenizer, behaviour("toxicity").pairs(seed=0, count=count)
