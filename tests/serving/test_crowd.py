"""A hundred clients at once, each with requests of its own, some of whom leave."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_every_answer_in_a_crowd_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    config = {"clients": 100, "requests": 300, "tokens": 16, "leaving": 0.2, "seed": 1}
    found = importlib.import_module("crowd").measured(config)
    assert found["wrong"] == 0, found["first_wrong"]
    assert set(found["statuses"]) == {"0", "200"}
    assert found["answers_compared"] > 200 and found["beginnings_compared"] > 10
    assert found["alive"] and found["idle_afterwards"] and not found["said"]
    assert found["memory_after_mib"] < found["memory_before_mib"] + 100
