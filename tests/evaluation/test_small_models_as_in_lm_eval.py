"""MMLU and TruthfulQA on public data: our scores are those of lm-evaluation-harness."""

import csv
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval")
pytest.importorskip("rouge_score")

import lm_eval  # noqa: E402
import yaml  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

import steersman as sm  # noqa: E402
from steersman.evaluation import task_named  # noqa: E402
from steersman.loading import load  # noqa: E402

REPOSITORY = Path(__file__).parents[2]
SHARED = Path(os.environ.get("STEERSMAN_SHARED", REPOSITORY.parent / "shared"))
DATA, MODEL = SHARED / "data", SHARED / "models" / "stories260K"
THEIRS = Path(lm_eval.__file__).parent / "tasks"
SUBJECTS = ("virology", "high_school_european_history")
QUESTIONS = 12

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not MODEL.exists(), reason="the small real models are not here"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def model() -> Any:
    return load(str(MODEL))


def written(path: Path, rows: Iterable[Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def local_task(folder: Path, name: str, theirs: str, **files: Path) -> None:
    """One of their tasks on local files; everything else is as they have it."""
    kwargs = {"data_files": {k: str(v) for k, v in files.items()}, "cache_dir": f"{folder}/cache"}
    task = {
        "include": str(THEIRS / theirs),
        "task": name,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": kwargs,
        "tag": None,
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(task))


def harness(model: Any, folder: Path, name: str, shots: int) -> float:
    loaded, tokenizer = model
    out = lm_eval.simple_evaluate(
        HFLM(pretrained=loaded, tokenizer=tokenizer, batch_size=4),
        tasks=[name],
        num_fewshot=shots,
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0,
    )
    return float(out["results"][name]["acc,none"])


@pytest.mark.parametrize("shots", [0, 5])
@pytest.mark.parametrize("subject", SUBJECTS)
def test_mmlu_is_as_in_the_harness(model: Any, tmp_path: Path, subject: str, shots: int) -> None:
    files = {}
    for part, count in (("dev", 5), ("test", QUESTIONS)):
        source = DATA / "mmlu" / part / f"{subject}_{part}.csv"
        rows = [row for row in csv.reader(source.open(encoding="utf-8-sig", newline="")) if row]
        rows = rows[rows[0][0] == "question" :][:count]
        (tmp_path / part).mkdir()
        with (tmp_path / part / source.name).open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        files[part] = written(
            tmp_path / f"{part}.jsonl",
            [
                {"question": q, "choices": choices, "answer": int("0123ABCD".index(answer)) % 4}
                for q, *choices, answer in rows
            ],
        )
    local_task(tmp_path, "local_mmlu", f"mmlu/default/mmlu_{subject}.yaml", **files)
    task = task_named("knowledge", tmp_path, shots=shots)
    ours = sm.evaluate(*model, task, split="all", count=None, batch_size=4, progress=False)
    assert ours.headline.count == QUESTIONS
    assert ours.headline.mean == pytest.approx(harness(model, tmp_path, "local_mmlu", shots))


def test_truthfulqa_is_as_in_the_harness(model: Any, tmp_path: Path) -> None:
    entries = json.loads((DATA / "truthfulqa" / "mc_task.json").read_text())[:QUESTIONS]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mc_task.json").write_text(json.dumps(entries))
    rows = [
        {
            "question": one["question"],
            **{
                name: {"choices": list(one[name]), "labels": list(one[name].values())}
                for name in ("mc1_targets", "mc2_targets")
            },
        }
        for one in entries
    ]
    data = written(tmp_path / "choices.jsonl", rows)
    # Their examples stand in their prompt; ours come from a file.
    prompt = (THEIRS / "truthfulqa" / "truthfulqa_mc1.yaml").read_text()
    answered = re.findall(r"Q: (.*?)\\n\\\s*A: (.*?)(?:\\n|\\\n)", prompt)
    assert len(answered) == 6
    examples = [{"question": question, "answer": answer} for question, answer in answered]
    written(tmp_path / "examples.jsonl", examples)
    shots = str(tmp_path / "examples.jsonl")
    task = task_named("truthfulness:choices", tmp_path / "data", shots=shots)
    ours = sm.evaluate(*model, task, split="all", count=None, batch_size=4, progress=False)
    for name, score in (("mc1", "MC1"), ("mc2", "MC2")):
        yaml_of = f"truthfulqa/truthfulqa_{name}.yaml"
        local_task(tmp_path, f"local_{name}", yaml_of, validation=data)
        theirs = harness(model, tmp_path, f"local_{name}", 0)
        assert ours.scores[score].count == QUESTIONS
        assert ours.scores[score].mean == pytest.approx(theirs, rel=1e-4)
