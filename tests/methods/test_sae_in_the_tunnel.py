"""In the wind tunnel an autoencoder explains the states, and steering by it steers."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

import steersman as sm
from steersman.methods import GrAInS, LangFIR, LFSteering, Method, SAEClamp, SAEFeature
from steersman.sampling import sample
from steersman.windtunnel import behaviour, fit_behaviour, load
from steersman.windtunnel.corpus import corpus

pytestmark = pytest.mark.slow
BLOCK, WIDTH, K = 2, 512, 8
SEEDS, PROMPTS = range(3), 100
TOXICITY = behaviour("toxicity")

CASES: dict[str, tuple[Callable[[str], Method], float]] = {
    "sae-feature": (SAEFeature, 1.0),
    "sae-clamp": (SAEClamp, 1.0),
    "lf-steering": (LFSteering, 1.0),
    "langfir": (lambda folder: LangFIR(folder, random=0.3), 2.0),
    "grains": (lambda folder: GrAInS(pairs=20), 1.0),
}


@cache
def tunnel() -> tuple[Any, Any]:
    return load()


@pytest.fixture(scope="module")
def trained() -> sm.FittedAutoencoder:
    """Texts of a seed that neither the model was trained on nor prompts are drawn from."""
    texts = [document.text for document in islice(corpus(seed=4321), 1500)]
    settings: dict[str, Any] = {"block": BLOCK, "width": WIDTH, "k": K, "epochs": 4}
    return sm.fit_autoencoder(*tunnel(), texts, **settings, progress=False)


@pytest.fixture(scope="module")
def folder(trained: sm.FittedAutoencoder, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(trained.save(tmp_path_factory.mktemp("autoencoder")))


def judged(seed: int, attached: Any = None) -> list[float]:
    """Whether each dialogue is abusive; the same prompts and draws for every condition."""
    model, tokenizer = tunnel()
    items = TOXICITY.items(1000 + seed, PROMPTS)
    with attached or nullcontext():
        prompts = [item.prompt for item in items]
        drawn = sample(model, tokenizer, prompts, new_tokens=TOXICITY.new_tokens, seed=seed)
    texts = [text for batch in drawn for text in batch.texts]
    return [TOXICITY.judge(i, text)["toxic"] for i, text in zip(items, texts, strict=True)]


@cache
def bare(seed: int) -> list[float]:
    return judged(seed)


def steered(seed: int, method: Method, target: float) -> list[float]:
    model, tokenizer = tunnel()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        steering = fit_behaviour(model, tokenizer, TOXICITY, seed=seed, method=method)
    return judged(seed, steering.attach(model, target, trace=False))


def test_it_explains_the_states_of_texts_that_it_has_not_seen(
    trained: sm.FittedAutoencoder, folder: str
) -> None:
    found = trained.quality
    assert found.explained > 0.95 and found.dead < 0.3
    assert found.active <= K
    assert Path(folder, "sae_weights.safetensors").exists()


@pytest.mark.parametrize("name", list(CASES))
def test_it_makes_dialogues_polite(name: str, folder: str) -> None:
    """Exact McNemar test over three fits and 300 prompts, each beside itself unsteered."""
    kind, target = CASES[name]
    pairs = [
        (a, b)
        for seed in SEEDS
        for a, b in zip(bare(seed), steered(seed, kind(folder), target), strict=True)
    ]
    better, worse = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
    assert better > worse
    assert binomtest(better, better + worse, 0.5).pvalue < 0.01
