"""A comparison of methods: at equal side effect, and with nothing chosen on a test prompt."""

import json
import math
import shutil
import sys
from dataclasses import dataclass, field
from typing import Any

import pytest

import steersman as sm
from steersman.errors import InputError, MismatchError, NumericalError
from steersman.evaluation import Recipe, Task, task_named
from steersman.evaluation.comparison import tuning
from steersman.evaluation.comparison.cells import BUDGET, safe
from steersman.evaluation.items import Prompt
from steersman.evaluation.judges import Exact
from steersman.evaluation.metrics import asked_obtained, paired_bootstrap
from steersman.windtunnel import load

MODEL, TOKENIZER = load()
FEW: dict[str, Any] = {
    "seeds": (0, 1),
    "count": 6,
    "validation": 5,
    "pairs": 12,
    "targets": (0.5, 1.0),
    "evaluations": 7,
    "batch_size": 8,
    "repeats": 0,
    "progress": False,
}
"""Two seeds of a task whose continuations are short."""
TASK = "truthfulness"
BASE, OTHER = "activation-addition", "clamp"

pytestmark = pytest.mark.filterwarnings("ignore")


@dataclass
class Seen:
    """What fits and calibrations were given, and which splits were asked for."""

    pairs: list[str] = field(default_factory=list)
    prompts: list[tuple[int, str]] = field(default_factory=list)
    fits: int = 0


@pytest.fixture(scope="module")
def spied(tmp_path_factory: pytest.TempPathFactory):
    """A whole comparison, what its fits and calibrations saw, and its folder."""
    seen, folder = Seen(), tmp_path_factory.mktemp("compared") / "out"
    with pytest.MonkeyPatch.context() as patch:
        spy(patch, seen)
        found = sm.compare(MODEL, TOKENIZER, TASK, [OTHER], beside=["knowledge"], out=folder, **FEW)
    return found, seen, folder


def spy(patch: pytest.MonkeyPatch, seen: Seen) -> None:
    fit, calibrate = tuning.fit, tuning.calibrate

    def fitted(model, tokenizer, pairs, **settings):
        seen.fits += 1
        seen.pairs += map(str, [*pairs.desired, *pairs.undesired])
        seen.pairs += map(str, settings["jacobian_prompts"] or ())
        return fit(model, tokenizer, pairs, **settings)

    def calibrated(steering, model, tokenizer, prompts, **settings):
        seen.prompts += [(settings["seed"], str(prompt)) for prompt in prompts]
        return calibrate(steering, model, tokenizer, prompts, **settings)

    patch.setattr(tuning, "fit", fitted)
    patch.setattr(tuning, "calibrate", calibrated)


def scored_prompts(count: int = FEW["count"]) -> set[str]:
    task = task_named(TASK)
    return {one.prompt for seed in FEW["seeds"] for one in task.items("test", seed, count)}


def test_no_test_prompt_is_ever_fitted_or_tuned_on(spied) -> None:
    found, seen, folder = spied
    assert seen.fits == 2 * 2
    assert len(seen.prompts) == 2 * 2 * FEW["validation"]
    used = {text for _, text in seen.prompts} | set(seen.pairs)
    assert not used & scored_prompts()
    assert not used & scored_prompts(count=200)
    scored = {
        json.loads(line)["prompt"]
        for path in folder.glob(f"cells/*/*/{BUDGET}/samples.jsonl")
        for line in path.read_text().splitlines()
    }
    assert scored == scored_prompts()
    del found


def test_what_is_fitted_and_tuned_is_handed_no_task() -> None:
    names = set(tuning.Tuner.__dataclass_fields__) | set(tuning.Material.__dataclass_fields__)
    assert names.isdisjoint({"task", "items", "kept", "test"})
    assert not hasattr(tuning, "Task")
    assert not hasattr(tuning, "evaluate")


def test_all_methods_are_tuned_on_the_same_prompts_and_tested_on_the_same(spied) -> None:
    _, seen, folder = spied
    each = FEW["validation"]
    first, second, third, fourth = (seen.prompts[i : i + each] for i in range(0, 4 * each, each))
    assert first == second
    assert third == fourth
    assert first != third
    begins = [
        [{k: json.loads(line)[k] for k in ("seed", "index", "id")} for line in text.splitlines()]
        for method in ("unsteered", BASE, OTHER)
        for text in [(folder / "cells" / method / "seed-1" / BUDGET / "samples.jsonl").read_text()]
    ]
    assert begins[0] == begins[1] == begins[2]


def test_every_method_keeps_the_budget_on_the_validation_prompts(spied) -> None:
    found, _, folder = spied
    for one in found.methods:
        assert one.met == 2
        for seed in FEW["seeds"]:
            tuned = json.loads((folder / f"cells/{one.label}/seed-{seed}/tuned.json").read_text())
            assert tuned["calibration"]["value"] <= 0.1
            assert tuned["calibration"]["aim"] == "KL at most 0.1"
        assert 0 < one.panel["divergence"].mean < 0.5


def test_effects_tests_and_calibration_are_of_the_samples(spied) -> None:
    found, _, folder = spied
    scores: dict[str, list[float]] = {}
    prompts: list[str] = []

    def drawn(label: str, kind: str = BUDGET) -> list[dict]:
        paths = [folder / f"cells/{label}/seed-{s}/{kind}/samples.jsonl" for s in FEW["seeds"]]
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]

    for one in found.methods:
        rows = drawn(one.label)
        scores[one.label] = [row["scores"][found.headline] for row in rows]
        prompts = [row["id"] for row in rows]
        assert found.effect(one).mean == pytest.approx(sum(scores[one.label]) / len(rows))
        assert len(found.effect(one).by_seed) == 2
        assert "accuracy of knowledge" in one.panel
    base, other = found.methods
    assert base.against is None
    expected = paired_bootstrap(scores[OTHER], scores[BASE], prompts)
    assert other.against.effect == expected.effect
    assert other.against.p == pytest.approx(expected.p)
    bare = [row["scores"][found.headline] for row in drawn("unsteered")]
    at_one = [row["scores"][found.headline] for row in drawn(OTHER, "target-1")]
    assert other.moved.effect == paired_bootstrap(scores[OTHER], bare, prompts).effect
    assert other.asked[1].moved.effect == paired_bootstrap(at_one, bare, prompts).effect
    values = "obtained" if found.in_units else "score"
    slopes = [
        asked_obtained([0.5, 1.0], [getattr(one, values).by_seed[s] for one in base.asked]).slope
        for s in range(2)
    ]
    assert base.slope.by_seed == pytest.approx(slopes)
    assert set(found.unsteered_panel) == set(base.panel)


def test_a_finished_comparison_is_read_and_not_made_again(spied, monkeypatch) -> None:
    found, _, folder = spied
    before = (folder / "summary.json").read_bytes()
    for name in ("fit", "calibrate"):
        monkeypatch.setattr(tuning, name, None)
    monkeypatch.setattr("steersman.evaluation.making.sample", None)
    again = sm.compare(MODEL, TOKENIZER, TASK, [OTHER], beside=["knowledge"], out=folder, **FEW)
    assert again.to_dict() == found.to_dict()
    assert (folder / "summary.json").read_bytes() == before


@pytest.mark.parametrize("lost", ["tuned.json", "at-budget", "target-1/samples.jsonl", "steering"])
def test_an_interrupted_comparison_ends_in_the_same_bytes(spied, tmp_path, lost: str) -> None:
    found, _, folder = spied
    copy = shutil.copytree(folder, tmp_path / "copy")
    cell = copy / "cells" / OTHER / "seed-1"
    (copy / "summary.json").unlink()
    if lost == "steering":
        shutil.rmtree(cell)
    elif (cell / lost).is_dir():
        shutil.rmtree(cell / lost)
    else:
        (cell / lost).unlink()
    sm.compare(MODEL, TOKENIZER, TASK, [OTHER], beside=["knowledge"], out=copy, **FEW)
    assert (copy / "summary.json").read_bytes() == (folder / "summary.json").read_bytes()
    del found


def test_other_settings_are_refused_in_the_same_folder(spied) -> None:
    _, _, folder = spied
    with pytest.raises(MismatchError, match=r"comparison.budget.limit is 0.1 there and 0.2 here"):
        sm.compare(
            *(MODEL, TOKENIZER, TASK, [OTHER]),
            beside=["knowledge"],
            out=folder,
            budget=sm.KL(0.2),
            **FEW,
        )


@dataclass(frozen=True, eq=False)
class Weather(Task):
    """A task without aligned pairs and contexts, whose splits may overlap."""

    overlap: bool = False

    def items(self, split, seed, count):
        words = "same" if self.overlap else split
        return tuple(Prompt(f"{words} {seed} {i}", "it was a") for i in range(count))

    def pairs(self, seed, count):
        return sm.ContrastivePairs(["the sun shines"] * count, ["the rain falls"] * count)


def weather(**more) -> Weather:
    recipe = Recipe("short", "ours", new_tokens=3)
    return Weather("weather", "be fluent", "perplexity", False, recipe, **more)


ONE = FEW | {"seeds": (0,), "count": 2, "validation": 2, "targets": ()}


def test_a_task_whose_splits_overlap_is_refused() -> None:
    with pytest.raises(InputError, match=r"both in its validation split and in its test split"):
        sm.compare(MODEL, TOKENIZER, weather(overlap=True), [BASE], **ONE)


def test_what_cannot_be_compared_is_listed_with_the_reason(monkeypatch) -> None:
    fit = tuning.fit

    def broken(*words, method, **settings):
        if method.name == OTHER:
            raise NumericalError("the states are not finite.")
        return fit(*words, method=method, **settings)

    monkeypatch.setattr(tuning, "fit", broken)
    found = sm.compare(MODEL, TOKENIZER, weather(), [BASE, OTHER, "counterfactual"], **ONE)
    assert list(found.left_out) == ["counterfactual"]
    assert "aligned pairs" in found.left_out["counterfactual"]
    assert [one.label for one in found.methods] == [BASE, OTHER]
    assert found.methods[1].failures == ("no strength: the states are not finite.",)
    assert found.effect(found.methods[1]) is None
    text = found.summary()
    assert "counterfactual is left out: it learns from aligned pairs" in text
    assert "clamp failed: no strength: the states are not finite." in text
    json.dumps(found.to_dict(), allow_nan=False)


@dataclass(frozen=True, eq=False)
class Long(Weather):
    """Every other validation prompt is longer than the model's context."""

    def items(self, split, seed, count):
        long = "it was a " * 2000 if split == "validation" else ""
        return tuple(
            Prompt(f"{split} {seed} {i}", f"{long * (i % 2)}it was a") for i in range(count)
        )


def test_validation_prompts_that_are_too_long_are_left_out_and_counted() -> None:
    task = Long("long", "be fluent", "perplexity", False, weather().recipe)
    found = sm.compare(MODEL, TOKENIZER, task, [BASE], **ONE | {"validation": 4})
    (one,) = found.methods
    assert one.met == 1
    assert "2 validation prompts are too long for the model: left out." in one.notes


def test_methods_with_settings_of_their_own_have_labels() -> None:
    ways = {"half": sm.Clamp(), BASE: BASE}
    found = sm.compare(MODEL, TOKENIZER, weather(), ways, **ONE | {"repeats": 1})
    assert [(one.label, one.method) for one in found.methods] == [("half", "clamp"), (BASE, BASE)]
    assert found.methods[0].timing["times_unsteered"] > 0
    assert "timing" not in json.dumps(found.to_dict())


def test_no_method_is_called_as_the_bare_model_is() -> None:
    with pytest.raises(InputError, match="'unsteered' is the bare model"):
        sm.compare(MODEL, TOKENIZER, TASK, {"unsteered": OTHER}, **FEW)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"seeds": ()}, "give at least one, each once"),
        ({"targets": (1.0, 1.0)}, "give finite numbers, each once"),
        ({"evaluations": 2}, "evaluations is 2; at least"),
        ({"validation": 0}, "validation is 0"),
        ({"baseline": "mine"}, "the baseline 'mine' is none of the methods"),
    ],
)
def test_settings_that_cannot_be_used_are_said_before_anything_runs(more, message) -> None:
    with pytest.raises(InputError, match=message):
        sm.compare(MODEL, TOKENIZER, TASK, [OTHER], **FEW | more)


def test_desired_contexts_stand_before_the_same_prompts() -> None:
    context = task_named("toxicity").in_context()
    plain = task_named("toxicity").items("test", 0, 3)
    for one, other in zip(plain, context.items("test", 0, 3), strict=True):
        assert other.id == one.id
        assert other.prompt.endswith(one.prompt)
        assert other.prompt != one.prompt


def test_labels_that_differ_are_kept_in_folders_that_differ() -> None:
    labels = ["a-lqr", "a-lqr+", "a-lqr-", "a lqr-", "a/lqr-", "..", "../..", "unsteered "]
    folders = {safe(label) for label in labels}
    assert len(folders) == len(labels)
    assert not any("/" in one or one.startswith(".") for one in folders)
    assert safe("a-lqr+") == "a-lqr+"


@dataclass(frozen=True, eq=False)
class Known(Weather):
    """A task that scores what it is asked about, whatever is said: 0.2, or 0.7 in context."""

    value: float = 0.2

    def in_context(self) -> "Known":
        return known_task(0.7)


def known_task(value: float) -> Known:
    judge = Exact("known", ("value",), lambda _: {"value": value})
    recipe = Recipe("short", "ours", new_tokens=2)
    return Known("known", "rise", "value", True, recipe, (judge,), value=value)


def test_obtained_goes_from_unsteered_to_desired() -> None:
    found = sm.compare(MODEL, TOKENIZER, known_task(0.2), [BASE], **ONE | {"targets": (0.5, 1.0)})
    assert found.in_units
    assert found.desired.mean == pytest.approx(0.7)
    (one,) = found.methods
    assert [asked.obtained.mean for asked in one.asked] == pytest.approx([0, 0], abs=1e-12)
    assert one.slope.mean == pytest.approx(0, abs=1e-12)
    assert one.gap.mean == pytest.approx(math.sqrt((0.5**2 + 1.0**2) / 2))


def test_the_page_holds_everything_and_nothing_from_elsewhere(spied, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    found, _, _ = spied
    page = found.to_html(tmp_path / "page.html").read_text()
    assert page.count("<svg") == 2
    words = ("Effect", "Side effects", "Asked and obtained", "Pace", "accuracy of knowledge", OTHER)
    for word in words:
        assert word in page
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert found.to_html(tmp_path / "again.html").read_text() == page


def test_without_matplotlib_there_are_tables(spied, tmp_path, monkeypatch) -> None:
    for name in [name for name in sys.modules if name.startswith("steersman.plots")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = spied[0].to_html(tmp_path / "page.html").read_text()
    assert "<svg" not in page
    assert OTHER in page


@pytest.mark.slow
def test_every_method_can_be_compared_in_the_wind_tunnel() -> None:
    found = sm.compare(MODEL, TOKENIZER, TASK, "all", **FEW | {"seeds": (0,), "pairs": 40})
    able = {name for name, kind in sm.METHODS.items() if not kind.needs_autoencoder}
    assert {one.label for one in found.methods} == able
    assert found.left_out == {}
    assert not [one.failures for one in found.methods if one.failures]
