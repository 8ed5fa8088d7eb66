"""The whole way on public data and a small real model, whose scores are chance."""

import os
from pathlib import Path

import pytest

import steersman as sm
from steersman.evaluation import Evaluation, task_named
from steersman.loading import load

REPOSITORY = Path(__file__).parents[2]
SHARED = Path(os.environ.get("STEERSMAN_SHARED", REPOSITORY.parent / "shared"))
DATA, MODEL = SHARED / "data", SHARED / "models" / "stories260K"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not MODEL.exists(), reason="the small real models are not here"),
    pytest.mark.filterwarnings("ignore"),
]
HISTORY = ["high_school_european_history", "virology"]
FEW = {"batch_size": 8, "progress": False}


@pytest.fixture(scope="module")
def model():
    return load(str(MODEL))


@pytest.fixture(scope="module")
def steering(model):
    task = task_named("truthfulness", DATA / "truthfulqa", judges=[])
    return sm.fit(*model, task.pairs(0, 20), method="activation-addition", progress=False)


def test_truthfulqa_with_choices_steered_and_not(model, steering, tmp_path) -> None:
    task = task_named("truthfulness:choices", DATA / "truthfulqa")
    bare = sm.evaluate(*model, task, count=12, **FEW)
    found = sm.evaluate(*model, task, steering, 1.0, count=12, out=tmp_path, **FEW)
    for one in (bare, found):
        assert one.scores["MC1"].count == one.scores["MC2"].count == 12
        assert 0 <= one.scores["MC1"].mean <= 1
        assert 0 < one.scores["MC2"].mean < 1
    assert found.divergence.mean > bare.divergence.mean == 0
    assert Evaluation.load(tmp_path).scores["MC2"] == found.scores["MC2"]
    assert found.scores["MC2"].mean != bare.scores["MC2"].mean


def test_mmlu_by_subject(model) -> None:
    task = task_named("knowledge", DATA / "mmlu", subjects=HISTORY, shots=1)
    found = sm.evaluate(*model, task, count=24, **FEW)
    assert found.headline.count == 24
    assert set(found.groups) == set(HISTORY)
    assert "was cut at its beginning" in found.summary()


def test_refusals_by_their_words(model) -> None:
    task = task_named("refusal", DATA / "refusal" / "splits", chat=False, recipe="plain")
    found = sm.evaluate(*model, task, count=6, **FEW)
    assert found.scores["attack success"].count + found.headline.missing == 3
    with pytest.raises(sm.SteersmanError, match="no chat template"):
        sm.evaluate(*model, task_named("refusal", DATA / "refusal" / "splits"), count=6, **FEW)


def test_truthfulqa_answers_by_another_language_model(model) -> None:
    spec = f"causal:{SHARED / 'models' / 'babyllama-tok105-1M'}"
    task = task_named("truthfulness", DATA / "truthfulqa", judges=[spec, f"perplexity:{MODEL}"])
    found = sm.evaluate(*model, task, count=6, **FEW)
    assert found.headline.count + found.headline.missing == 6
    assert set(found.scores) >= {"true", "informative", "true and informative"}


def test_comments_as_prompts_of_toxicity(model) -> None:
    task = task_named(
        "toxicity",
        DATA / "toxicity",
        columns={"comment": "text", "toxic": "toxicity"},
        recipe="plain",
        judges=[],
    )
    found = sm.evaluate(*model, task, count=6, **FEW)
    assert found.samples == 6
    assert found.panel["perplexity"].count + found.panel["perplexity"].missing == 6
