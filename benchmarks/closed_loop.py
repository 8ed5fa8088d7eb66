"""Does steering do what it was asked, by ground truth, in the wind tunnel?

Every condition sees the same pairs, prompts and sampling seeds; every repetition has new ones.
"""

import warnings
from dataclasses import asdict
from functools import partial
from typing import Any

from parts import Cell, Parts

from steersman.methods import ALQR, ActivationAddition, FeatureLQR, Method
from steersman.steering import Steering
from steersman.windtunnel import (
    UNSTEERED,
    Condition,
    Outcome,
    behaviour,
    compare,
    load,
)


def parts(config: dict[str, Any]) -> Parts:
    """Every behaviour."""
    return {name: partial(_cells, config, name) for name in config["behaviours"]}


def _cells(config: dict[str, Any], name: str) -> list[Cell]:
    """One cell for each condition, with means and standard errors over seeds."""
    warnings.simplefilter("ignore", UserWarning)
    model, tokenizer = load()
    asked = behaviour(name)
    conditions = [UNSTEERED, *(_condition(one) for one in config["conditions"])]
    found = compare(
        model, tokenizer, asked, conditions, seeds=config["seeds"], count=config["prompts"]
    )
    cells = [_cell(name, asked.headline, outcome) for outcome in found]
    for cell in cells:
        print(_line(cell), flush=True)
    return cells


def _condition(given: dict[str, Any]) -> Condition:
    settings = {key: value for key, value in given.items() if key not in ("name", "method")}

    def attach(steering: Steering, model: Any) -> Any:
        return steering.attach(model, trace=False, **settings)

    return Condition(given["name"], _method(given.get("method", {"name": "a-lqr"})), attach)


def _method(given: dict[str, Any]) -> Method:
    kinds: dict[str, type[Method]] = {
        kind.name: kind for kind in (ALQR, ActivationAddition, FeatureLQR)
    }
    settings = {key: value for key, value in given.items() if key != "name"}
    return kinds[given["name"]](**settings)


def _cell(name: str, headline: str, outcome: Outcome) -> Cell:
    return {
        "behaviour": name,
        "condition": outcome.condition,
        "headline": headline,
        "scores": {key: asdict(score) for key, score in outcome.scores.items()},
        "grammaticality": asdict(outcome.grammaticality),
        "knowledge": asdict(outcome.knowledge),
        "perplexity": asdict(outcome.perplexity),
        "divergence": asdict(outcome.divergence),
    }


def _line(cell: Cell) -> str:
    scores = "  ".join(
        f"{key} {100 * s['mean']:.1f} +- {100 * s['se']:.1f}" for key, s in cell["scores"].items()
    )
    side = f"grammar {100 * cell['grammaticality']['mean']:.1f}"
    side += f"  knowledge {100 * cell['knowledge']['mean']:.1f}"
    side += f"  perplexity {cell['perplexity']['mean']:.2f}  KL {cell['divergence']['mean']:.3f}"
    return f"{cell['behaviour']:14} {cell['condition']:32} {scores}  {side}"
