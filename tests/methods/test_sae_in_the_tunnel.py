"""In the wind tunnel an autoencoder explains the states, and steering by it steers."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from dialogues import SEEDS, bare, judged, require_more, require_polite, tunnel

import steersman as sm
from steersman.methods import (
    GrAInS,
    LangFIR,
    LangFIRAblation,
    LFSteering,
    Method,
    SAEClamp,
    SAEFeature,
)
from steersman.windtunnel.corpus import corpus

pytestmark = pytest.mark.slow
BLOCK, WIDTH, K = 2, 512, 8

CASES: dict[str, tuple[Callable[[str], Method], float]] = {
    "sae-feature": (SAEFeature, 1.0),
    "sae-clamp": (SAEClamp, 1.0),
    "lf-steering": (LFSteering, 1.0),
    "langfir": (lambda folder: LangFIR(folder, random=0.3), 2.0),
    "grains": (lambda folder: GrAInS(pairs=20), 1.0),
}


@pytest.fixture(scope="module")
def trained() -> sm.FittedAutoencoder:
    """Texts of a seed that neither the model was trained on nor prompts are drawn from."""
    texts = [document.text for document in islice(corpus(seed=4321), 1500)]
    settings: dict[str, Any] = {"block": BLOCK, "width": WIDTH, "k": K, "epochs": 4}
    return sm.fit_autoencoder(*tunnel()[:2], texts, **settings, progress=False)


@pytest.fixture(scope="module")
def folder(trained: sm.FittedAutoencoder, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(trained.save(tmp_path_factory.mktemp("autoencoder")))


def test_it_explains_the_states_of_texts_that_it_has_not_seen(
    trained: sm.FittedAutoencoder, folder: str
) -> None:
    found = trained.quality
    assert found.explained > 0.95 and found.dead < 0.3
    assert found.active <= K
    assert Path(folder, "sae_weights.safetensors").exists()


@pytest.mark.parametrize("name", list(CASES))
def test_it_makes_dialogues_polite(name: str, folder: str) -> None:
    kind, target = CASES[name]
    require_polite(kind(folder), target)


def test_without_features_of_abusive_dialogues_more_become_polite_than_without_polite_ones(
    folder: str,
) -> None:
    """Both sides share features of dialogues as such, so that either makes some polite."""
    before, abusive, polite = (
        [one for seed in SEEDS for one in judge(seed)]
        for judge in (
            bare,
            lambda seed: without(folder, seed, 1),
            lambda seed: without(folder, seed, 0),
        )
    )
    for others in (before, polite):
        both = list(zip(others, abusive, strict=True))
        require_more(sum(a > b for a, b in both), sum(a < b for a, b in both))


def without(folder: str, seed: int, side: int) -> tuple[float, ...]:
    """Dialogues without the features of the desired side, 0, or of the other, 1."""
    model, tokenizer, toxicity = tunnel()
    pairs = toxicity.pairs(seed, 200)
    sides = (pairs.desired, pairs.undesired)
    given = sm.ContrastivePairs(sides[side], sides[1 - side])
    method = LangFIRAblation(folder, random=0.3)
    steering = sm.fit(model, tokenizer, given, method=method, progress=False)
    return judged(seed, steering.attach(model, 1.0, trace=False))
