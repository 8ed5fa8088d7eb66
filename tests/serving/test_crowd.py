"""A hundred clients at once, each with requests of its own, some of whom leave."""

import importlib
import random
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("crowd")


@pytest.mark.slow
def test_every_answer_in_a_crowd_is_its_own(crowd: Any) -> None:
    config = {"clients": 100, "requests": 300, "tokens": 16, "leaving": 0.2, "seed": 1}
    found = crowd.measured(config)
    assert found["wrong"] == 0, found["first_wrong"]
    assert set(found["statuses"]) == {"0", "200"}
    assert found["answers_compared"] > 200 and found["beginnings_compared"] > 10
    assert found["alive"] and found["idle_afterwards"] and not found["said"]
    assert found["memory_after_mib"] < found["memory_before_mib"] + 50


def test_an_answer_that_is_not_its_own_is_noticed(crowd: Any, tunnel: Any, steerings: Any) -> None:
    strong = {"both": {"sea": 2.0, "music": 0.0}}
    asked = crowd.Asked("the old king", strong, 12, 0.0, 1.0, 0, 1, stream=False, leaves=None)
    text = crowd._twin(tunnel, steerings, asked, 0)
    bare = crowd._twin(tunnel, steerings, asked._replace(steering={}), 0)
    assert text != bare

    def is_right(said: str, status: int) -> bool:
        return crowd.is_its_twin(tunnel, steerings, crowd.Ended(asked, status, (said,), 0.0))

    assert is_right(text, 200) and is_right(text[:9], 0) and is_right("", 0)
    assert not (is_right(bare, 200) or is_right(text[:9], 200) or is_right(bare, 0))
    assert not (is_right(text, 500) or is_right(text, -1))


def test_the_requests_of_a_crowd_are_of_every_kind(crowd: Any) -> None:
    chance = random.Random(0)
    asked = [crowd.drawn(chance, 16, 0.2) for _ in range(300)]
    assert {tuple(one.steering) for one in asked} == {
        (), ("sea",), ("music",), ("sea", "music"), ("both",), ("held",),
    }  # fmt: skip
    assert {(one.stream, one.leaves is None) for one in asked} == {
        (True, True), (True, False), (False, True), (False, False),
    }  # fmt: skip
    assert len({one.seed for one in asked}) == 300
