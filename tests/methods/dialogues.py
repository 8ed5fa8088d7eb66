"""Dialogues of the wind tunnel that go on steered and bare, and whether they became polite."""

import warnings
from contextlib import nullcontext
from functools import cache
from typing import Any

from scipy.stats import binomtest

import steersman as sm
from steersman.methods import Method
from steersman.sampling import sample
from steersman.windtunnel import behaviour, fit_behaviour, load

SEEDS, PROMPTS = range(3), 100


@cache
def tunnel() -> Any:
    """The model, its tokenizer and the behaviour."""
    return *load(), behaviour("toxicity")


def fit(method: Method, seed: int) -> sm.Steering:
    """A steering of the seed's examples."""
    model, tokenizer, toxicity = tunnel()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return fit_behaviour(model, tokenizer, toxicity, seed=seed, method=method)


def judged(seed: int, attached: Any = None) -> tuple[float, ...]:
    """Whether each dialogue is abusive; the same prompts and draws, steered or not."""
    model, tokenizer, toxicity = tunnel()
    items = toxicity.items(1000 + seed, PROMPTS)
    with attached or nullcontext():
        prompts = [item.prompt for item in items]
        drawn = sample(model, tokenizer, prompts, new_tokens=toxicity.new_tokens, seed=seed)
    texts = [text for batch in drawn for text in batch.texts]
    return tuple(toxicity.judge(i, text)["toxic"] for i, text in zip(items, texts, strict=True))


@cache
def bare(seed: int) -> tuple[float, ...]:
    """What nothing does."""
    return judged(seed)


def require_polite(method: Method, target: float = 1.0, reference: Any = None) -> None:
    """Hold that it makes dialogues polite, over three fits and 300 prompts."""
    better = worse = 0
    for seed in SEEDS:
        attached = fit(method, seed).attach(tunnel()[0], target, reference=reference, trace=False)
        pairs = list(zip(bare(seed), judged(seed, attached), strict=True))
        better += sum(a > b for a, b in pairs)
        worse += sum(a < b for a, b in pairs)
    require_more(better, worse)


def require_more(better: int, worse: int) -> None:
    """Hold that more became better than worse, by an exact McNemar test of what changed."""
    assert better > worse
    assert binomtest(better, better + worse, 0.5).pvalue < 0.01
