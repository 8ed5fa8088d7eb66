"""The benchmark runner resumes, and the experiment on real models shows what it claims."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`benchmark("run")`: a module of the folder, forgotten again afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if BENCHMARKS in Path(getattr(sys.modules[name], "__file__", None) or "").parents:
            del sys.modules[name]


def test_a_run_goes_on_after_its_last_finished_part(benchmark: Any, tmp_path: Path) -> None:
    runner = benchmark("run")
    asked: list[str] = []

    def parts(config: dict[str, Any]) -> dict[str, Any]:
        def one(name: str) -> list[dict[str, Any]]:
            asked.append(name)
            if len(asked) == 2:
                raise KeyboardInterrupt
            return [{"name": name}]

        return {name: lambda name=name: one(name) for name in config["names"]}

    runner.BENCHMARKS["counting"] = parts
    config = {"benchmark": "counting", "names": ["a", "b", "c"]}
    partial = tmp_path / "counting.partial"
    with pytest.raises(KeyboardInterrupt):
        runner.run(config, partial)
    assert runner.run(config, partial)["cells"] == [{"name": n} for n in "abc"]
    assert asked == ["a", "b", "b", "c"]
    # Parts of another configuration do not count.
    assert len(runner.run({**config, "names": ["a"]}, partial)["cells"]) == 1
    assert asked[-1] == "a"


def test_every_configuration_names_a_benchmark_with_parts(benchmark: Any) -> None:
    runner = benchmark("run")
    for path in sorted((BENCHMARKS / "configs").glob("*.json")):
        config = json.loads(path.read_text())
        assert runner.BENCHMARKS[config["benchmark"]](config), path.name


def test_every_result_was_made_by_its_configuration() -> None:
    for path in sorted((BENCHMARKS / "results").glob("*.json")):
        config = json.loads((BENCHMARKS / "configs" / path.name).read_text())
        assert json.loads(path.read_text())["config"] == config, path.name


def test_a_real_story_model_turns_happier(benchmark: Any) -> None:
    experiment = benchmark("real_models")
    if not (experiment.MODELS / "stories260K").exists():
        pytest.skip("the public models are not here")
    config = {"pairs": 40, "seeds": 2, "samples": 3, "new_tokens": 60, "temperature": 0.8}
    low, none, high = experiment._cells(config, "stories260K", [-1.0, 0.0, 1.0])
    assert low["happy_share"]["mean"] < none["happy_share"]["mean"] < high["happy_share"]["mean"]
