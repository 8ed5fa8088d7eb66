"""The same on a small real model and public data; its scores are chance."""

import os
from pathlib import Path

import pytest

import steersman as sm
from steersman.loading import load

REPOSITORY = Path(__file__).parents[2]
SHARED = Path(os.environ.get("STEERSMAN_SHARED", REPOSITORY.parent / "shared"))
DATA, MODELS = SHARED / "data", SHARED / "models"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (MODELS / "stories260K").exists(), reason="the small real models are not here"
    ),
    pytest.mark.filterwarnings("ignore"),
]


def test_every_item_with_data_runs_and_the_others_say_what_they_need(tmp_path) -> None:
    causal = f"causal:{MODELS / 'babyllama-tok105-1M'}"
    found = sm.reproduce(
        *load(str(MODELS / "stories260K")),
        data={
            "toxicity": DATA / "toxicity",
            "truthfulness": DATA / "truthfulqa",
            "refusal": DATA / "refusal" / "splits",
            "knowledge": DATA / "mmlu",
        },
        judges={"toxicity": [causal], "truthfulness": [causal]},
        columns={"toxicity": {"comment": "text", "toxic": "toxicity"}},
        recipes={"toxicity": "plain", "refusal": "plain"},
        out=tmp_path,
        chat=False,
        shots=1,
        count=4,
        seeds=(0,),
        pairs=12,
        jacobians=2,
        lambdas=(1.0,),
        batch_size=4,
        progress=False,
    )
    assert not found.failed
    assert set(found.skipped) == {"concepts", "multi-concept"}
    assert len(found.items) == 8
    for done in found.items:
        assert all(not line.failed for line in done.found.lines), done.item.name
    assert "ours of stories260K, which is another model" in found.summary()
    page = found.to_html(tmp_path / "report.html").read_text()
    assert page.count("<svg") == 8
    assert "longer than the model&#39;s context and were left out" in page
    (refusal,) = (done for done in found.items if done.item.name == "refusal")
    assert [line.label for line in refusal.found.lines][-1] == "A-LQR, relative plan, target -1"
    (mmlu,) = (done for done in found.items if done.item.name == "mmlu")
    assert any(note.startswith("Every row: the context of") for note in mmlu.found.notes)
