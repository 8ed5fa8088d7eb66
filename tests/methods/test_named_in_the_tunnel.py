"""In the wind tunnel, named methods make dialogues polite; each beside itself unsteered."""

from contextlib import nullcontext
from typing import Any

import pytest
from dialogues import fit, require_more, require_polite, tunnel

from steersman.gating import Resembles, f1
from steersman.methods import (
    CAA,
    CAST,
    RAPTOR,
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
from steersman.plant import AllTokens, capture_states
from steersman.sampling import sample
from steersman.windtunnel.scores import is_abusive

pytestmark = pytest.mark.slow

TUNNEL: dict[str, Method] = {
    "caa": CAA(),
    "repe": RepE(strength=None),
    "confst": ConfST(),
    "raptor": RAPTOR(),
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
"""Ablation within principal axes is not among them: zero lies between the two sides there. Nor is
ActAdd: pushes at the front of a prompt alone lower the score at target 6 and at target -2 alike."""


@pytest.mark.parametrize("name", list(TUNNEL))
def test_in_the_wind_tunnel_it_makes_dialogues_polite(name: str) -> None:
    require_polite(TUNNEL[name], 1.0)


def test_prompts_like_the_undesired_examples_are_made_polite_and_no_others_are_touched() -> None:
    """Dialogues that end where somebody says something, of either side, bare and conditionally."""
    model, tokenizer, toxicity = tunnel()
    better = worse = 0
    for seed in range(3):
        steering = fit(CAST(strength=None), seed)
        others = toxicity.pairs(1000 + seed, 30)
        prompts = [*others.undesired, *others.desired]
        condition: Any = steering.gate.condition
        fires = _fires(condition, prompts)
        texts = []
        for attached in (nullcontext(), steering.attach(model, 1.0, trace=False)):
            with attached:
                drawn = sample(model, tokenizer, prompts, new_tokens=20, seed=seed)
            texts.append([text for batch in drawn for text in batch.texts])
        assert f1(sum(fires[:30]), sum(fires), 30) > 0.8
        for fired, bare, found in zip(fires, *texts, strict=True):
            assert fired or bare == found
            better += is_abusive(bare) > is_abusive(found)
            worse += is_abusive(bare) < is_abusive(found)
    require_more(better, worse)


def _fires(condition: Resembles, prompts: list[str]) -> list[bool]:
    """What the condition says of prompts that are read as a fit reads examples."""
    model, tokenizer, _ = tunnel()
    states = capture_states(model, tokenizer, prompts, AllTokens(), progress=False)
    found: list[bool] = condition.fires({condition.reading: states[:, condition.state]}).tolist()
    return found
