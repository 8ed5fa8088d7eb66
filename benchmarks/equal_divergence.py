"""Which law does most at the same price? Scores at equal divergence from the unsteered model.

Every way is fitted on the same pairs and run over targets on the same prompts and sampling seeds.
The price is the divergence from the bare model in nats per token, measured along the steered text;
scores at a given price are interpolated between targets, seed by seed. With `tracked` it is also
said how far the final feature is from its target at the last token of so many prompts, and with
`judged_by` every way is judged by so many other pairs, at target 1: does it move its feature as
examples do?
"""

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import tracking
from parts import Cell, Parts
from subjects import Compared, Way, explained, names, subject

from steersman.faithful import faithfulness
from steersman.steering import Steering
from steersman.windtunnel.scores import mean_score


def parts(config: dict[str, Any]) -> Parts:
    """Every subject and seed."""
    return {
        f"{name}, seed {seed}": partial(_cells, config, name, seed)
        for name in names(config)
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
    one = subject(config, name, seed)
    bare = one.look(None)
    found: list[Cell] = []
    fits: dict[str, tuple[Steering, dict[str, float]]] = {}
    for way in config["ways"]:
        key = str([way.get(name) for name in ("method", "settings", "observer")])
        if key not in fits:
            steering = one.fitted(way)
            fits[key] = steering, {**explained(steering), **_judged(config, one, steering)}
        steering, known = fits[key]
        for target in way.get("targets", one.targets):
            settings = {"target": target, **way.get("attach", {})}
            got = one.look(steering.attach(one.model, trace=False, **settings))
            found.append(
                {
                    "behaviour": name,
                    "seed": seed,
                    "way": way["name"],
                    "target": target,
                    "unsteered": bare["score"],
                    **got,
                    **_tracked(config, one, steering, settings),
                    **known,
                }
            )
        print(_line(found[-1]), flush=True)
    return found


def _line(cell: Cell) -> str:
    shown = "{behaviour}, seed {seed}, {way}: {score:.3f} at divergence {divergence:.4f}"
    return shown.format(**cell)


def _tracked(
    config: dict[str, Any], one: Compared, steering: Steering, settings: dict[str, Any]
) -> dict[str, float]:
    """How far the final feature is from where it was asked to be, in natural units."""
    if not config.get("tracked"):
        return {}
    seen = tracking.observed(one, one.examples, steering, settings, 0)
    error = tracking.errors(steering, seen, settings["target"], settings)
    return {"tracking_rms": float(error.square().mean().sqrt())}


def _judged(config: dict[str, Any], one: Compared, steering: Steering) -> dict[str, float]:
    if not config.get("judged_by") or one.pairs is None:
        return {}
    pairs = one.pairs(config["judged_by"])
    found = faithfulness(steering, one.model, one.tokenizer, pairs, batch_size=32, progress=False)
    return {"agreement": found.agreement, "excess": found.excess}


def summary(config: dict[str, Any], cells: Sequence[Cell]) -> list[Cell]:
    """For every subject and way: the score at each budget, and all there is at each target.

    Args:
        config: what was run.
        cells: what came out, of every seed.
    """
    return [
        _summarised(config, name, way, [c for c in mine if c["way"] == way["name"]])
        for name in names(config)
        for mine in [[c for c in cells if c["behaviour"] == name]]
        for way in config["ways"]
    ]


def _summarised(config: dict[str, Any], name: str, way: Way, mine: Sequence[Cell]) -> Cell:
    targets = list(dict.fromkeys(cell["target"] for cell in mine))
    return {
        "behaviour": name,
        "way": way["name"],
        "unsteered": asdict(mean_score([one["unsteered"] for one in _first_cells(mine)])),
        "at_budget": {
            str(budget): asdict(mean_score([at_divergence(p, budget) for p in _curves(mine)]))
            for budget in config["budgets"]
        },
        **{
            key: asdict(mean_score([c[key] for c in _first_cells(mine)]))
            for key in ("agreement", "excess", "explained", "explained_by_mean")
            if key in mine[0]
        },
        "at_target": {
            str(target): {
                key: asdict(mean_score([c[key] for c in mine if c["target"] == target]))
                for key in MEASURED
                if key in mine[0]
            }
            for target in targets
        },
    }


MEASURED = (
    *("score", "divergence", "tracking_rms", "perplexity"),
    *("grammaticality", "knowledge", "feeling_words_per_text"),
)


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
