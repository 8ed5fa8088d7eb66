"""In the wind tunnel every trained method moves the behaviour that it was trained for."""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, lru_cache
from math import comb
from typing import Any

import pytest

import steersman as sm
from steersman.methods import (
    CDAS,
    RISER,
    BiPO,
    GuidingGiants,
    LinEAS,
    Method,
    PreControl,
)
from steersman.sampling import sample
from steersman.windtunnel import behaviour, load

pytestmark = pytest.mark.slow
SEEDS, PROMPTS = range(3), 100
TOXICITY = behaviour("toxicity")


@dataclass(frozen=True)
class Case:
    """A method with settings for a small model and a few minutes, and where examples are read."""

    method: Method
    pairs: int = 40
    positions: str = "last"


CASES = [
    Case(BiPO(block=2, epochs=4, rate=0.5, warmup=0, patience=0)),
    Case(LinEAS(epochs=6, batch_size=16), positions="all"),
    Case(CDAS(block=2, epochs=3, rate=0.003)),
    Case(GuidingGiants(rate=1e-3)),
    Case(PreControl(rate=1e-3, epochs=15)),
    Case(RISER(block=2, vectors=2, strengths=(0.15, 0.3)), pairs=20),
]
"""PrOSV is not among them: at its few tokens of the prompt so short a training moves nothing."""


@lru_cache(maxsize=1)
def tunnel() -> tuple[Any, Any]:
    return load()


def toxic(seed: int, attached: Any = None) -> list[float]:
    """Whether each continuation holds an insult; the same prompts and draws for every condition."""
    model, tokenizer = tunnel()
    items = TOXICITY.items(1000 + seed, PROMPTS)
    with attached or nullcontext():
        drawn = sample(
            *(model, tokenizer, [one.prompt for one in items]), new_tokens=40, seed=1000 + seed
        )
    texts = [text for batch in drawn for text in batch.texts]
    return [TOXICITY.judge(item, t)["toxic"] for item, t in zip(items, texts, strict=True)]


@cache
def bare(seed: int) -> tuple[float, ...]:
    return tuple(toxic(seed))


def sign_test(better: int, worse: int) -> float:
    """The two-sided probability of a split as uneven, were both ways equally likely."""
    count = better + worse
    tail = sum(comb(count, k) for k in range(min(better, worse) + 1)) / 2**count
    return min(1.0, 2 * tail)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.method.name)
def test_it_makes_the_dialogue_more_polite(case: Case) -> None:
    model, tokenizer = tunnel()
    better = worse = 0
    for seed in SEEDS:
        pairs = TOXICITY.pairs(seed, case.pairs)
        steering = sm.fit(
            *(model, tokenizer, pairs),
            method=case.method,
            positions=case.positions,
            batch_size=32,
            progress=False,
        )
        steered = toxic(seed, steering.attach(model, 1.0, trace=False))
        for before, after in zip(bare(seed), steered, strict=True):
            better, worse = better + (after < before), worse + (after > before)
    assert better > worse and sign_test(better, worse) < 0.01, (better, worse)
