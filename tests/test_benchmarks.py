"""The benchmark runner resumes, and the experiment on real models shows what it claims."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

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
    if not (benchmark("stories").MODELS / "stories260K").exists():
        pytest.skip("the public models are not here")
    config = {"pairs": 40, "seeds": 2, "samples": 3, "new_tokens": 60, "temperature": 0.8}
    low, none, high = experiment._cells(config, "stories260K", [-1.0, 0.0, 1.0])
    assert low["happy_share"]["mean"] < none["happy_share"]["mean"] < high["happy_share"]["mean"]


def test_a_score_at_a_divergence_lies_between_the_targets_around_it(benchmark: Any) -> None:
    at = benchmark("equal_divergence").at_divergence
    points = [(0.0, 0.2), (0.1, 0.4), (0.3, 0.8)]
    assert at(points, 0.0) == pytest.approx(0.2)
    assert at(points, 0.05) == pytest.approx(0.3)
    assert at(points, 0.2) == pytest.approx(0.6)
    assert at(points, 0.31) != at(points, 0.31)


def test_a_summary_holds_every_way_with_its_standard_error(benchmark: Any) -> None:
    config = {"behaviours": ["b"], "ways": [{"name": "w"}], "targets": [1.0], "budgets": [0.1]}
    cells = [
        {
            "behaviour": "b",
            "way": "w",
            "seed": seed,
            "target": 1.0,
            "unsteered": 0.0,
            "score": score,
            "divergence": 0.2,
            "grammaticality": 1.0,
            "knowledge": 1.0,
        }
        for seed, score in enumerate((0.4, 0.8))
    ]
    (row,) = benchmark("equal_divergence").summary(config, cells)
    assert row["at_budget"]["0.1"] == {
        "mean": pytest.approx(0.3),
        "se": pytest.approx(0.1),
        "count": 2,
    }
    assert row["at_target"]["1.0"]["score"]["mean"] == pytest.approx(0.6)


def test_a_random_steering_runs_and_acts_in_every_way_that_is_timed(benchmark: Any) -> None:
    model, overhead = benchmark("random_llama").random_llama(256, 2, 50), benchmark("overhead")
    ids = torch.arange(6)[None] + 2
    with torch.no_grad():
        bare = model(ids).logits
        for way in overhead.WAYS:
            with overhead.attached(model, way):
                logits = model(ids).logits
            assert logits.isfinite().all() and not torch.equal(logits, bare), way


def test_what_a_calibration_promised_stands_beside_what_was_found(benchmark: Any) -> None:
    cells = [
        {
            "behaviour": "b",
            "aim": "kl",
            "asked": "at most 0.05",
            "strength": 0.5,
            "score": 0.9,
            "divergence": found,
            "grammaticality": 1.0,
            "evaluations": 9,
            "calibrated": {"mean": 0.05, "se": 0.003},
            "check": {"mean": found, "se": 0.004, "count": 200},
        }
        for found in (0.045, 0.055)
    ]
    (row,) = benchmark("calibration").summary({}, cells)
    assert row["check"] == {"mean": pytest.approx(0.05), "se": pytest.approx(0.005), "count": 2}
    assert row["distance_in_standard_errors"] == pytest.approx([-1.0, 1.0])


def test_a_correlation_within_targets_does_not_see_the_targets(benchmark: Any) -> None:
    within = benchmark("indicators").within
    targets = np.repeat([1.0, 2.0], 4)
    signal = np.array([1.0, 2.0, 3.0, 4.0, 11.0, 12.0, 13.0, 14.0])
    outcome = np.array([3.0, 1.0, 4.0, 2.0, 13.0, 11.0, 14.0, 12.0])
    rows = np.arange(8)
    # Ranks 1 2 3 4 and 3 1 4 2 have no correlation; ranks of all eight have a high one.
    assert within(signal, outcome, targets, rows) == pytest.approx(0)
    assert within(signal, outcome, np.ones(8), rows) > 0.7
    assert within(signal, np.ones(8), targets, rows) == 0


def test_a_signal_that_follows_an_outcome_is_shown_with_its_interval(benchmark: Any) -> None:
    experiment = benchmark("indicators")
    rng = np.random.default_rng(0)
    cells = []
    for target in (1.0, 2.0):
        for prompt in range(12):
            noise = rng.random()
            known = dict.fromkeys(experiment.SIGNALS, noise) | {"target": target}
            cells.append(
                {"way": "w", "prompt": prompt, "grammaticality": -noise, "success": 1.0} | known
            )
    cells.append(cells[0] | {"grammaticality": None})
    ways = [{"name": "w", "tokens": "all", "targets": [1.0, 2.0]}]
    config = {"ways": ways, "resamples": 200}
    (row,) = experiment.summary(config, cells)
    assert [at["target"] for at in row["by_target"]] == [1.0, 2.0]
    found = {(one["outcome"], one["signal"]): one for one in row["correlations"]}
    assert found["grammaticality", "entropy"]["within_targets"]["value"] == pytest.approx(-1)
    assert found["success", "entropy"]["pooled"]["value"] == 0
    assert found["grammaticality", "entropy"]["missing"] == 1
    assert found["grammaticality", "entropy"]["pooled"]["count"] == 12
    assert "within_targets" not in found["grammaticality", "target"]


def test_servers_are_compared_round_by_round(benchmark: Any) -> None:
    serving = benchmark("serving")
    bare = [serving.Turn(100, 1.0, 0.5), serving.Turn(100, 4.0, 0.5)]
    turns = [serving.Turn(100, 2.0, 1.0), serving.Turn(50, 4.0, 0.25)]
    found = serving.compared(turns, bare)
    assert found["clock"]["ratios"] == [0.5, 0.5]
    assert found["clock"]["standard_error"] == 0
    assert found["processor"]["ratios"] == [0.5, 1.0]
    assert found["processor"]["mean"] == found["processor"]["median"] == 0.75
    assert (found["processor"]["least"], found["processor"]["most"]) == (0.5, 1.0)
    assert found["processor"]["standard_error"] == pytest.approx(0.25)
