"""In the wind tunnel, named methods make dialogues polite; each beside itself unsteered."""

import warnings
from contextlib import nullcontext
from functools import cache
from typing import Any

import pytest
from scipy.stats import binomtest

from steersman.methods import (
    CAA,
    CAST,
    RAPTOR,
    ActAdd,
    AlphaSteer,
    BiasMitigation,
    ConfST,
    Efficiency,
    LanguageShift,
    Method,
    Personality,
    RefusalAddition,
    RepE,
    Seal,
    SelectiveSteering,
    ShiftOfMeans,
)
from steersman.sampling import sample
from steersman.windtunnel import behaviour, fit_behaviour, load

pytestmark = pytest.mark.slow

TUNNEL: dict[str, Method] = {
    "caa": CAA(),
    "actadd": ActAdd(),
    "repe": RepE(strength=None),
    "confst": ConfST(),
    "raptor": RAPTOR(),
    "cast": CAST(strength=None),
    "seal": Seal(),
    "efficiency": Efficiency(),
    "bias": BiasMitigation(),
    "personality": Personality(),
    "refusal-addition": RefusalAddition(),
    "language-shift": LanguageShift(strength=None),
    "shift-of-means": ShiftOfMeans(),
    "selective": SelectiveSteering(),
    "alphasteer": AlphaSteer(),
}


@cache
def tunnel() -> Any:
    return *load(), behaviour("toxicity")


@cache
def judged(name: str | None, seed: int) -> tuple[float, ...]:
    """Whether each of 100 dialogues is abusive, steered by that method or not."""
    model, tokenizer, toxicity = tunnel()
    items = toxicity.items(1000 + seed, 100)
    attached: Any = nullcontext()
    if name is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            steering = fit_behaviour(model, tokenizer, toxicity, seed=seed, method=TUNNEL[name])
        attached = steering.attach(model, 1.0, trace=False)
    with attached:
        prompts = [item.prompt for item in items]
        drawn = sample(model, tokenizer, prompts, new_tokens=toxicity.new_tokens, seed=seed)
    texts = [text for batch in drawn for text in batch.texts]
    return tuple(toxicity.judge(i, text)["toxic"] for i, text in zip(items, texts, strict=True))


@pytest.mark.parametrize("name", list(TUNNEL))
def test_in_the_wind_tunnel_it_makes_dialogues_polite(name: str) -> None:
    """Exact McNemar test over three fits and 300 prompts."""
    bare, found = ([j for s in range(3) for j in judged(one, s)] for one in (None, name))
    better = sum(a > b for a, b in zip(bare, found, strict=True))
    worse = sum(a < b for a, b in zip(bare, found, strict=True))
    assert better > worse
    assert binomtest(better, better + worse, 0.5).pvalue < 0.01
