"""Which law does most at the same price? Scores of the wind tunnel at equal divergence.

Every method is fitted on the same pairs and run over targets on the same prompts and sampling
seeds. The price is the divergence from the bare model in nats per token, measured along the steered
text; scores at a given price are interpolated between targets, seed by seed. With `judged_by` every
way is also judged by so many other pairs, at target 1: does it move its feature as examples do?
"""

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from parts import Cell, Parts

from steersman.faithful import faithfulness
from steersman.methods import METHODS, Method
from steersman.windtunnel import Behaviour, behaviour, fit_behaviour, load, measure
from steersman.windtunnel.scores import mean_score


def parts(config: dict[str, Any]) -> Parts:
    """Every behaviour and seed."""
    return {
        f"{name}, seed {seed}": partial(_cells, config, name, seed)
        for name in config["behaviours"]
        for seed in range(config["seeds"])
    }


def at_divergence(points: Sequence[tuple[float, float]], budget: float) -> float:
    """The score at a divergence, between the two targets around it; NaN beyond the last one.

    Args:
        points: divergence and score at every target, from target 0 on.
        budget: nats per token.
    """
    spent = np.maximum.accumulate([max(0.0, divergence) for divergence, _ in points])
    if budget > spent[-1]:
        return float("nan")
    return float(np.interp(budget, spent, [score for _, score in points]))


def _cells(config: dict[str, Any], name: str, seed: int) -> list[Cell]:
    warnings.simplefilter("ignore", UserWarning)
    model, tokenizer = load()
    asked = behaviour(name)
    count = config["prompts"]
    bare = measure(model, tokenizer, asked, seed=1000 + seed, count=count)
    found: list[Cell] = []
    for way in config["ways"]:
        steering = fit_behaviour(
            model,
            tokenizer,
            asked,
            seed=seed,
            method=_method(way),
            observer=way.get("observer", "mean"),
        )
        judged = _judged(config, model, tokenizer, asked, steering, seed)
        points = [(0.0, bare.scores[asked.headline].mean)]
        for target in config["targets"]:
            attached = steering.attach(model, target, trace=False, **way.get("attach", {}))
            got = measure(model, tokenizer, asked, attached, seed=1000 + seed, count=count)
            points.append((got.divergence.mean, got.scores[asked.headline].mean))
            found.append(
                {
                    "behaviour": name,
                    "seed": seed,
                    "way": way["name"],
                    "target": target,
                    "score": points[-1][1],
                    "unsteered": points[0][1],
                    "divergence": points[-1][0],
                    "grammaticality": got.grammaticality.mean,
                    "knowledge": got.knowledge.mean,
                    **judged,
                }
            )
    return found


def _judged(
    config: dict[str, Any], model: Any, tokenizer: Any, asked: Behaviour, steering: Any, seed: int
) -> dict[str, float]:
    if not config.get("judged_by"):
        return {}
    pairs = asked.pairs(500 + seed, config["judged_by"])
    found = faithfulness(steering, model, tokenizer, pairs, batch_size=32, progress=False)
    return {"agreement": found.agreement, "excess": found.excess}


def _method(way: dict[str, Any]) -> Method:
    settings = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in way.get("settings", {}).items()
    }
    return METHODS[way["method"]](**settings)


def summary(config: dict[str, Any], cells: Sequence[Cell]) -> list[Cell]:
    """For every behaviour and way: the score at each budget, and all there is at each target.

    Args:
        config: what was run.
        cells: what came out, of every seed.
    """
    rows = []
    for name in config["behaviours"]:
        for way in config["ways"]:
            mine = [c for c in cells if (c["behaviour"], c["way"]) == (name, way["name"])]
            rows.append(
                {
                    "behaviour": name,
                    "way": way["name"],
                    "at_budget": {
                        str(budget): asdict(
                            mean_score([at_divergence(p, budget) for p in _curves(mine)])
                        )
                        for budget in config["budgets"]
                    },
                    **{
                        key: asdict(mean_score([c[key] for c in _first_cells(mine)]))
                        for key in ("agreement", "excess")
                        if config.get("judged_by")
                    },
                    "at_target": {
                        str(target): {
                            key: asdict(mean_score([c[key] for c in mine if c["target"] == target]))
                            for key in ("score", "divergence", "grammaticality", "knowledge")
                        }
                        for target in config["targets"]
                    },
                }
            )
    return rows


def _first_cells(cells: Sequence[Cell]) -> list[Cell]:
    """One cell of each seed: what is the same at every target."""
    return list({cell["seed"]: cell for cell in cells}.values())


def _curves(cells: Sequence[Cell]) -> list[list[tuple[float, float]]]:
    seeds = sorted({cell["seed"] for cell in cells})
    curves = []
    for seed in seeds:
        mine = [cell for cell in cells if cell["seed"] == seed]
        start = (0.0, mine[0]["unsteered"])
        curves.append([start, *((cell["divergence"], cell["score"]) for cell in mine)])
    return curves
