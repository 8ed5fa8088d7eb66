"""Ask for a value and get it? Steered prompts beside the same prompts in a desired context.

What the unsteered model does in a context that names the desired behaviour is what target 1 asks
for; what it does without is target 0, and half way between their scores is what target 0.5 asks
for. Nothing is tuned: every way is fitted on prompts and contexts of the other split, with the
package's defaults. `shortfall` is the score minus what was asked for.
"""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from parts import Cell, Parts

import steersman as sm
from steersman.windtunnel import behaviour, load, measure
from steersman.windtunnel.contexts import at_decisions, in_contexts, items_in_context
from steersman.windtunnel.measure import Measurement
from steersman.windtunnel.scores import mean_score

EXAMPLES = {"contexts": in_contexts, "decisions": at_decisions}


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
    scored = partial(measure, model, tokenizer, seed=1000 + seed, count=config["prompts"])
    bare = scored(asked)
    there = scored(replace(asked, items=partial(items_in_context, asked)))
    start, end = (one.scores[asked.headline].mean for one in (bare, there))
    common = {"behaviour": name, "seed": seed, "unsteered": start, "in_context": end}
    cells = []
    for way in config["ways"]:
        for pairs in way["pairs"]:
            steering = sm.fit(
                model,
                tokenizer,
                EXAMPLES[way["examples"]](asked, seed, pairs),
                method=way["method"],
                batch_size=32,
                progress=False,
            )
            for target in config["targets"]:
                got = scored(asked, steering.attach(model, target, trace=False))
                wanted = start + target * (end - start)
                told = _told(got, asked.headline)
                shown = {"way": way["name"], "pairs": pairs, "target": target, "wanted": wanted}
                more = {"shortfall": told["score"] - wanted, "explained": _explained(steering)}
                changed = told["grammaticality"] - bare.grammaticality.mean
                cells.append({**common, **shown, **told, **more, "grammar_change": changed})
    return cells


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


def _explained(steering: sm.Steering) -> float | None:
    """The share of the shift between the contexts that is explained out of sample, where known.

    Of all blocks, the one that acts.
    """
    shares = [row[1] for one in steering.diagnostics for row in one.rows]
    return max(float(share) for share in shares) if shares else None


def summary(config: dict[str, Any], cells: Sequence[Cell]) -> list[Cell]:
    """Means over the seeds with their standard errors, for every way, number of pairs and target.

    Args:
        config: what was run.
        cells: what came out, of every seed.
    """
    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in cells:
        key = tuple(cell[name] for name in ("behaviour", "way", "pairs", "target"))
        groups.setdefault(key, []).append(cell)
    numbers = (
        *("unsteered", "in_context", "score", "shortfall", "divergence"),
        *("grammaticality", "grammar_change", "knowledge"),
    )
    return [
        {
            **dict(zip(("behaviour", "way", "pairs", "target"), key, strict=True)),
            **{name: asdict(mean_score([cell[name] for cell in group])) for name in numbers},
            "explained": [cell["explained"] for cell in group],
        }
        for key, group in groups.items()
    ]
