"""Ask for a value and get it? Steered prompts beside the same prompts in a desired context.

What the unsteered model does in a context that names the desired behaviour is what target 1 asks
for; what it does without is target 0, and half way between their scores is what target 0.5 asks
for. Nothing is tuned: every way is fitted on prompts and contexts of the other split, with the
package's defaults. `shortfall` is the score minus what was asked for.

A way with `evaluations` is also given other prompts and the judge of the score, and takes the
strength that `sm.calibrate` finds there; its targets are shares of the way to the score in context.
"""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from math import isnan
from typing import Any

from equal_divergence import at_divergence
from parts import Cell, Parts
from subjects import explained, judge_of

import steersman as sm
from steersman.windtunnel import Behaviour, behaviour, load, measure
from steersman.windtunnel.contexts import at_decisions, in_contexts, items_in_context
from steersman.windtunnel.measure import Measurement
from steersman.windtunnel.scores import mean_score

EXAMPLES = {"contexts": in_contexts, "decisions": at_decisions}
FIT, SCORE, CALIBRATE = 0, 1000, 2000
"""Where the seeds of each set of prompts begin."""


def parts(config: dict[str, Any]) -> Parts:
    """Every behaviour and seed."""
    return {
        f"{name}, seed {seed}": partial(_cells, config, name, seed)
        for name in config["behaviours"]
        for seed in range(config["seeds"])
    }


def _cells(config: dict[str, Any], name: str, seed: int) -> list[Cell]:
    warnings.simplefilter("ignore", UserWarning)
    model, tokenizer = load()
    asked = behaviour(name)
    scored = partial(measure, model, tokenizer, seed=SCORE + seed, count=config["prompts"])
    bare = scored(asked)
    start, end = (one.scores[asked.headline].mean for one in (bare, scored(_in_context(asked))))
    common = {"behaviour": name, "seed": seed, "unsteered": start, "in_context": end}
    cells = []
    for way in config["ways"]:
        for pairs in way["pairs"]:
            examples = EXAMPLES[way["examples"]](asked, FIT + seed, pairs)
            settings = {"method": way["method"], "batch_size": 32, "progress": False}
            steering = sm.fit(model, tokenizer, examples, **settings)
            for target in way.get("targets", config["targets"]):
                strength = target
                if "evaluations" in way:
                    strength = _calibrated(config, way, asked, steering, target, seed)
                got = scored(asked, steering.attach(model, strength, trace=False))
                wanted = start + target * (end - start)
                told = _told(got, asked.headline)
                shown = {"way": way["name"], "pairs": pairs, "target": target, "wanted": wanted}
                more = {"shortfall": told["score"] - wanted, **explained(steering)}
                changed = {
                    "grammar_change": told["grammaticality"] - bare.grammaticality.mean,
                    "strength": strength,
                }
                cells.append({**common, **shown, **told, **more, **changed})
        print(_line(cells[-1]), flush=True)
    return cells


def _line(cell: Cell) -> str:
    shown = "{behaviour}, seed {seed}, {way}, {target}: {score:.3f} where {wanted:.3f} was asked"
    return shown.format(**cell)


def _in_context(asked: Behaviour) -> Behaviour:
    """The same behaviour, of prompts in a desired context."""
    return replace(asked, items=partial(items_in_context, asked))


def _calibrated(
    config: dict[str, Any],
    way: dict[str, Any],
    asked: Behaviour,
    steering: sm.Steering,
    share: float,
    seed: int,
) -> float:
    """The strength for a share of the way to the score in context, on prompts kept for that."""
    model, tokenizer = load()
    at, count = CALIBRATE + seed, config["prompts"]
    start, end = (
        measure(model, tokenizer, one, seed=at, count=count, knowledge=1)
        .scores[asked.headline]
        .mean
        for one in (asked, _in_context(asked))
    )
    level = start + share * (end - start)
    # A score may be of some prompts alone, as attack success is of harmful requests.
    items = [i for i in asked.items(at, count) if not isnan(asked.judge(i, "")[asked.headline])]
    aim = sm.Score(judge_of(asked, items), **{"at_least" if end > start else "at_most": level})
    found = sm.calibrate(
        steering,
        model,
        tokenizer,
        [item.prompt for item in items],
        target=aim,
        new_tokens=asked.new_tokens,
        batch_size=128,
        evaluations=way["evaluations"],
        maximum=2.0,
        seed=at,
        progress=False,
    )
    return found.strength


def _told(got: Measurement, headline: str) -> dict[str, Any]:
    """What one measurement showed."""
    others = {key: score.mean for key, score in got.scores.items() if key != headline}
    return {
        "score": got.scores[headline].mean,
        "divergence": got.divergence.mean,
        "grammaticality": got.grammaticality.mean,
        "knowledge": got.knowledge.mean,
        "other_scores": others,
    }


def summary(config: dict[str, Any], cells: Sequence[Cell]) -> list[Cell]:
    """Means over the seeds with their standard errors, for every way, number of pairs and target.

    The score at each budget of divergence stands beside every target.

    Args:
        config: what was run.
        cells: what came out, of every seed.
    """
    keys = ("behaviour", "way", "pairs", "target")
    numbers = (
        *("unsteered", "in_context", "score", "shortfall", "divergence", "strength"),
        *("grammaticality", "grammar_change", "knowledge"),
    )
    return [
        {
            **dict(zip(keys, key, strict=True)),
            **{name: asdict(mean_score([cell[name] for cell in group])) for name in numbers},
            "at_budget": _at_budgets(config, cells, group),
            **{
                name: asdict(mean_score([cell[name] for cell in group]))
                for name in ("explained", "explained_by_mean")
                if name in group[0]
            },
        }
        for key, group in _groups(cells, keys).items()
    ]


def _groups(cells: Sequence[Cell], keys: Sequence[str]) -> dict[tuple[Any, ...], list[Cell]]:
    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in cells:
        groups.setdefault(tuple(cell[name] for name in keys), []).append(cell)
    return groups


def _at_budgets(config: dict[str, Any], cells: Sequence[Cell], group: Sequence[Cell]) -> Cell:
    """The score at each budget, interpolated between the targets of the group's way and pairs."""
    known = _groups(cells, ("behaviour", "way", "pairs", "seed"))
    curves = [
        [(0.0, mine[0]["unsteered"]), *((cell["divergence"], cell["score"]) for cell in mine)]
        for one in group
        for mine in [known[one["behaviour"], one["way"], one["pairs"], one["seed"]]]
    ]
    return {
        str(budget): asdict(mean_score([at_divergence(curve, budget) for curve in curves]))
        for budget in config["budgets"]
    }
