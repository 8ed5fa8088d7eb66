"""How far does a feature move that was not asked to, and what does it take to hold it?

Two features are fitted together and each alone, from the same examples and on the same plant. One
of them is then asked for one unit at the last token of prompts of no fit. Moved means: from where
the unsteered model has the feature after the last block, in natural units.
"""

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from jaxtyping import Float
from parts import Cell, Parts
from torch import Tensor
from tracking import Subject, observed

import steersman as sm
from steersman.methods import METHODS, Method
from steersman.sampling import sample, verdicts
from steersman.steering import Steering
from steersman.windtunnel import behaviour, load
from steersman.windtunnel.scores import grammaticality, mean_score, shows_topic

PLANT_PROMPTS = 32


def parts(config: dict[str, Any]) -> Parts:
    """Every pair of behaviours and seed."""
    return {
        f"{' and '.join(names)}, seed {seed}": partial(_cells, config, names, seed)
        for names in config["pairs_of"]
        for seed in range(config["seeds"])
    }


class _Bench:
    """A model, and steerings of two features: together, and each alone."""

    def __init__(self, config: dict[str, Any], names: Sequence[str], seed: int) -> None:
        self.model, self.tokenizer = load()
        self.names = names
        self._pairs = {name: behaviour(name).pairs(seed, config["pairs"]) for name in names}
        each = PLANT_PROMPTS // len(names)
        self._plant = [str(t) for pairs in self._pairs.values() for t in pairs.desired[:each]]
        self._made: dict[str, Steering] = {}

    def steering(self, method: Method, *names: str) -> Steering:
        """Of these features, on the plant that all of them share."""
        key = f"{method} {names}"
        if key not in self._made:
            self._made[key] = sm.fit(
                self.model,
                self.tokenizer,
                {name: self._pairs[name] for name in names},
                method=method,
                jacobian_prompts=self._plant,
                batch_size=32,
                progress=False,
            )
        return self._made[key]

    def of_way(self, way: dict[str, Any], steered: Sequence[str]) -> Steering:
        """Alone or together, as the way has it."""
        method = METHODS[way["method"]](**way.get("settings", {}))
        return self.steering(method, *(self.names if way["together"] else steered))


def _cells(config: dict[str, Any], names: Sequence[str], seed: int) -> list[Cell]:
    warnings.simplefilter("ignore", UserWarning)
    bench, cells = _Bench(config, names, seed), []
    for steered in names:
        prompts = behaviour(steered).pairs(config["prompt_seed"] + seed, config["prompts"])
        for way in config["ways"]:
            moved = _moved(bench, way, steered, [str(t) for t in prompts.undesired])
            for index, feature in enumerate(names):
                error = moved[:, index] - float(feature == steered)
                cells.append(
                    {
                        "features": list(names),
                        "seed": seed,
                        "way": way["name"],
                        "steered": steered,
                        "feature": feature,
                        "moved": float(moved[:, index].mean()),
                        "spread": float(moved[:, index].std()),
                        "rms_error": float(error.square().mean().sqrt()),
                    }
                )
    cells.append(_coupling(config, bench, seed))
    if all(name.startswith("concepts:") for name in names):
        cells += _stories(config, bench, seed)
    return cells


def _moved(
    bench: _Bench, way: dict[str, Any], steered: str, prompts: list[str]
) -> Float[Tensor, "prompts features"]:
    steering = bench.of_way(way, [steered])
    settings = {"target": {steered: 1.0}, **way.get("attach", {})}
    subject = Subject(bench.model, bench.tokenizer, lambda method: steering, [], prompts)
    seen = observed(subject, prompts, steering, settings, 0)
    features = bench.of_way({**way, "together": True}, []).features
    return (seen.steered - seen.bare)[:, 0] @ features.vectors[-1] / features.norm[-1]


def _coupling(config: dict[str, Any], bench: _Bench, seed: int) -> Cell:
    found = bench.of_way({**config["ways"][0], "together": True}, []).coupling
    assert found is not None
    return {
        "features": list(bench.names),
        "seed": seed,
        "interaction": found.interaction.tolist(),
        "cosine": float(found.cosines[0, 1]),
        "price": found.price.tolist(),
    }


def _stories(config: dict[str, Any], bench: _Bench, seed: int) -> list[Cell]:
    """Which topics the stories show, by ground truth."""
    topics = [name.partition(":")[2] for name in bench.names]
    items = behaviour(bench.names[0]).items(config["prompt_seed"] + seed, config["prompts"])
    prompts, found = [item.prompt for item in items], []
    for asked in config["stories"]:
        target = dict(zip(bench.names, asked["target"], strict=True))
        steered = [name for name, value in target.items() if value]
        steering = bench.of_way({**config["ways"][0], "together": asked["together"]}, steered)
        own = {name: target[name] for name in steering.features.names}
        with steering.attach(bench.model, own, trace=False):
            drawn = sample(bench.model, bench.tokenizer, prompts, new_tokens=48, seed=seed)
        texts = [text for batch in drawn for text in batch.texts]
        apart = [verdict.divergence for verdict in verdicts(bench.model, drawn)]
        found.append(
            {
                "features": list(bench.names),
                "seed": seed,
                "story": asked["name"],
                "shows": {
                    name: mean_score([shows_topic(text, topic) for text in texts]).mean
                    for name, topic in zip(bench.names, topics, strict=True)
                },
                "divergence": mean_score(apart).mean,
                "grammaticality": grammaticality(prompts, texts).mean,
            }
        )
        print(found[-1], flush=True)
    return found


def summary(config: dict[str, Any], cells: Sequence[Cell]) -> list[Cell]:
    """Means over the seeds with their standard errors.

    Args:
        config: what was run.
        cells: what came out, of every seed.
    """
    rows: list[Cell] = []
    for names in config["pairs_of"]:
        mine = [cell for cell in cells if cell["features"] == names]
        for way in config["ways"]:
            for steered in names:
                of_way = [
                    c for c in mine if (c.get("way"), c.get("steered")) == (way["name"], steered)
                ]
                rows.append({"features": names, "way": way["name"], "steered": steered})
                for feature in names:
                    some = [c for c in of_way if c["feature"] == feature]
                    rows[-1][feature] = {
                        key: asdict(mean_score([c[key] for c in some]))
                        for key in ("moved", "rms_error")
                    }
        for asked in config["stories"]:
            some = [c for c in mine if c.get("story") == asked["name"]]
            if some:
                rows.append({"features": names, "story": asked["name"]})
                for key in ("divergence", "grammaticality"):
                    rows[-1][key] = asdict(mean_score([c[key] for c in some]))
                for name in names:
                    rows[-1][name] = asdict(mean_score([c["shows"][name] for c in some]))
    return rows
