"""Public data sets, as they are downloaded, where a copy of them lies beside the repository."""

import os
from pathlib import Path

import pytest

from steersman.data import ContrastivePairs

REPOSITORY = Path(__file__).parents[2]
DATA = Path(os.environ.get("STEERSMAN_SHARED", REPOSITORY.parent / "shared")) / "data"
COMMENTS = {"comment": "text", "toxic": "label"}
CONCEPTS = {"input": "prompt", "output": "completion", "category": "label"}
CONCEPT_FILE = "axbench/concept10/prod_2b_l10_v1/generate/train_data.parquet"


def shared(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not here")
    return path


@pytest.mark.parametrize(
    ("name", "columns", "desired", "undesired", "paired"),
    [
        ("caa/load/refusal.json", None, 458, 458, True),
        ("caa/load/survival-instinct.json", None, 953, 953, True),
        ("truthfulqa/TruthfulQA.csv", None, 790, 790, True),
        ("emotions_facts/facts/facts_true_false.csv", None, 306, 306, False),
        ("toxicity/toxicity_nonfuzzed_testset.csv", COMMENTS, 1244, 248, False),
        (CONCEPT_FILE, CONCEPTS, 720, 216, False),
    ],
)
def test_both_sides_of_a_data_set_are_read(name, columns, desired, undesired, paired):
    pairs = ContrastivePairs.load(shared(name), columns=columns)
    assert sorted((len(pairs.desired), len(pairs.undesired))) == sorted((desired, undesired))
    assert pairs.paired is paired


@pytest.mark.parametrize("name", [p.stem for p in sorted((DATA / "caa/load").glob("*.json"))])
def test_every_behaviour_of_caa_is_read(name):
    assert ContrastivePairs.load(shared(f"caa/load/{name}.json")).paired


@pytest.mark.parametrize(
    ("desired", "undesired"),
    [
        ("refusal/splits/harmful_val.json", "refusal/splits/harmless_val.json"),
        ("emotions_facts/emotions/happiness.json", "emotions_facts/emotions/anger.json"),
    ],
)
def test_data_sets_with_a_file_for_each_side_are_read(desired, undesired):
    pairs = ContrastivePairs.load_sides(shared(desired), shared(undesired))
    assert not pairs.paired
    assert all(isinstance(example, str) for example in pairs.desired + pairs.undesired)
