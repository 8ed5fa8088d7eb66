"""What laws are compared on: a behaviour of the wind tunnel, or a public story model."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import stories

from steersman import fit
from steersman.methods import METHODS, Method
from steersman.sampling import sample, verdicts
from steersman.steering import Steering
from steersman.windtunnel import Behaviour, behaviour, fit_behaviour, load, measure

Way = Mapping[str, Any]
SCORE = 1000
"""Where the seeds of prompts and random numbers of the scoring begin."""


class Compared(NamedTuple):
    """One subject at one seed.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        fitted: fits a way on this seed's pairs.
        look: what the model does, bare or with a steering attached: its score, what that cost.
        targets: the strengths to try.
        examples: undesired examples of other pairs than the fit's.
        pairs: other pairs than the fit's; None where the subject has no judge by pairs.
    """

    model: Any
    tokenizer: Any
    fitted: Callable[[Way], Steering]
    look: Callable[[AbstractContextManager[Any] | None], dict[str, float]]
    targets: Sequence[float]
    examples: list[str]
    pairs: Callable[[int], Any] | None


def subject(config: dict[str, Any], name: str, seed: int) -> Compared:
    """The subject of that name.

    Args:
        config: `behaviours` and `models`, `prompts` and `targets`, as in `configs/`.
        name: of a behaviour or of a public model.
        seed: of its pairs; prompts and random numbers have others.
    """
    known = {one["name"]: one for one in config.get("models", ())}
    if name in known:
        return _story_model(config, known[name], seed)
    return _behaviour(config, behaviour(name), seed)


def names(config: dict[str, Any]) -> list[str]:
    """Every subject of a configuration."""
    return [*config["behaviours"], *(one["name"] for one in config.get("models", ()))]


def _behaviour(config: dict[str, Any], asked: Behaviour, seed: int) -> Compared:
    model, tokenizer = load()

    def fitted(way: Way) -> Steering:
        method, observer = method_of(way), way.get("observer", "mean")
        return fit_behaviour(model, tokenizer, asked, seed=seed, method=method, observer=observer)

    def look(attached: AbstractContextManager[Any] | None) -> dict[str, float]:
        settings = {"seed": SCORE + seed, "count": config["prompts"]}
        got = measure(model, tokenizer, asked, attached, **settings, knowledge=config["questions"])
        return {
            "score": got.scores[asked.headline].mean,
            "divergence": got.divergence.mean,
            "perplexity": got.perplexity.mean,
            "grammaticality": got.grammaticality.mean,
            "knowledge": got.knowledge.mean,
        }

    pairs, tracked = partial(asked.pairs, 500 + seed), config.get("tracked")
    examples = [str(text) for text in asked.pairs(900 + seed, tracked).undesired] if tracked else []
    return Compared(model, tokenizer, fitted, look, config["targets"], examples, pairs)


def _story_model(config: dict[str, Any], known: dict[str, Any], seed: int) -> Compared:
    model, tokenizer = stories.open_model(known["name"])
    pairs = stories.pairs(known["pairs"], seed)
    prompts = stories.prompts() * known["samples"]

    def fitted(way: Way) -> Steering:
        method = method_of(way)
        positions = "last" if method.aligned else "all"
        return fit(model, tokenizer, pairs, method=method, positions=positions, progress=False)

    def look(attached: AbstractContextManager[Any] | None) -> dict[str, float]:
        at, new_tokens = SCORE + seed, known["new_tokens"]
        with attached or nullcontext():
            drawn = sample(model, tokenizer, prompts, new_tokens=new_tokens, seed=at, batch_size=64)
        happy, sad = stories.feelings([text for batch in drawn for text in batch.texts])
        seen = list(verdicts(model, drawn))
        return {
            "score": happy / max(1, happy + sad),
            "divergence": sum(one.divergence for one in seen) / len(seen),
            "perplexity": sum(one.perplexity for one in seen) / len(seen),
            "feeling_words_per_text": (happy + sad) / len(prompts),
        }

    examples = list(stories.pairs(config["tracked"], 900 + seed, stories.SCORE_NAMES).undesired)
    return Compared(model, tokenizer, fitted, look, known["targets"], examples, None)


def method_of(way: Way) -> Method:
    """The method of a way, with its settings."""
    settings = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in way.get("settings", {}).items()
    }
    return METHODS[way["method"]](**settings)


def judge_of(asked: Behaviour, items: Sequence[Any]) -> Callable[..., list[float]]:
    """The score of a behaviour as `sm.Score` wants it, of texts behind the prompts of `items`."""

    def judge(prompts: Sequence[Any], texts: Sequence[str]) -> list[float]:
        both = zip(items, texts, strict=True)
        return [asked.judge(item, text)[asked.headline] for item, text in both]

    return judge


def explained(steering: Steering) -> dict[str, float]:
    """The shares of the shift between contexts explained out of sample; empty where not known.

    By a map of the state and by the mean shift, at the block where the map explains most.
    """
    tables = [one for one in steering.diagnostics if one.name == "Shift explained out of sample"]
    known = [(float(row[1] or 0), float(row[2] or 0)) for one in tables for row in one.rows]
    if not known:
        return {}
    by_state, by_mean = max(known)
    return {"explained": by_state, "explained_by_mean": by_mean}
