"""A paper's tables and figures in the wind tunnel, end to end, at sizes that say nothing."""

import json
from dataclasses import dataclass
from math import isfinite, sqrt

import pytest

import steersman as sm
from steersman.errors import InputError, MismatchError, UnknownNameError
from steersman.evaluation import making
from steersman.evaluation.scores import Score
from steersman.evaluation.tasks import world_task
from steersman.evaluation.tasks.closed_world import WorldBehaviour
from steersman.reproduction.alqr.multi_concept import together
from steersman.reproduction.alqr.truthfulness import product
from steersman.reproduction.statistics import mean, root_mean_square
from steersman.reproduction.words import table
from steersman.windtunnel import load

pytestmark = pytest.mark.filterwarnings("ignore")

TINY = {"count": 3, "seeds": (0,), "pairs": 8, "jacobians": 1, "lambdas": (1.0,)}
QUIET = {"batch_size": 4, "progress": False}


@pytest.fixture(scope="module")
def world():
    return load()


@pytest.fixture(scope="module")
def toxicity(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("reproduction") / "toxicity"
    return sm.reproduce(*world, "alqr", "toxicity", out=out, **TINY, **QUIET), out


def test_our_numbers_stand_beside_the_published_ones(toxicity) -> None:
    found, out = toxicity
    (done,) = found.items
    labels = [line.label for line in done.found.lines]
    assert labels[0] == "unsteered"
    assert {"A-LQR, paper's form, λ = 1", "A-LQR, relative plan, target 1"} <= set(labels)
    for line in done.found.lines:
        assert not line.failed
        assert 0 <= line.values["toxic"].mean <= 1
        assert line.values["toxic"].count == 3
    shown = table(done)
    rows = {label: (paper, cells) for label, paper, cells in shown.rows}
    at = [model for _, models in shown.groups for model in models].index("Gemma-2-2B")
    assert str(rows["A-LQR, paper's form, λ = 1"][1][at]) == "0.18†"
    assert str(rows["A-LQR, relative plan, target 1"][1][at]) == ""
    assert rows["ITI"] == ("not in this library", rows["ITI"][1])
    assert not rows["ITI"][1][0].text
    written = json.loads((out / "summary.json").read_text())
    assert written["items"][0]["found"] == json.loads((out / "toxicity/found.json").read_text())
    assert all(one["source"] and one["second_hand"] for one in written["items"][0]["published"])


def test_the_page_needs_nothing_else_and_says_that_numbers_are_not_comparable(toxicity) -> None:
    found, out = toxicity
    page = found.to_html(out / "report.html").read_text()
    assert "they are not comparable" in page
    assert "ITI" in page and "not in this library" in page and "Second-hand" in page
    assert page.count("<svg") == 1 and (out / "figures/toxicity.svg").read_text()[:4] == "<svg"
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl", "")
    assert "they are not comparable" in found.summary()


def test_an_item_that_is_there_is_not_measured_again(toxicity, world, monkeypatch) -> None:
    found, out = toxicity
    before = (out / "summary.json").read_bytes()

    def never(*args, **kwargs):
        raise AssertionError("measured again")

    monkeypatch.setattr(making, "sample", never)
    again = sm.reproduce(*world, "alqr", "toxicity", out=out, **TINY, **QUIET)
    assert again.to_dict() == found.to_dict()
    assert (out / "summary.json").read_bytes() == before


def test_other_settings_in_the_same_folder_are_refused(toxicity, world) -> None:
    _, out = toxicity
    with pytest.raises(MismatchError, match="sizes.pairs is 8 there and 9 here"):
        sm.reproduce(*world, "alqr", "toxicity", out=out, **TINY | {"pairs": 9}, **QUIET)


def test_what_was_interrupted_ends_in_the_same_numbers(
    toxicity, world, tmp_path, monkeypatch
) -> None:
    _, whole = toxicity
    real, calls = making.sample, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(making, "sample", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sm.reproduce(*world, "alqr", "toxicity", out=tmp_path, **TINY, **QUIET)
    assert not (tmp_path / "toxicity/found.json").exists()
    sm.reproduce(*world, "alqr", "toxicity", out=tmp_path, **TINY, **QUIET)
    for name in ("summary.json", "toxicity/found.json", "toxicity/settings.json"):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes(), name
    assert len(calls) == 1 + 7  # one evaluation was begun twice, none was made twice


def test_items_of_several_calls_stand_on_one_page(world, tmp_path) -> None:
    first = sm.reproduce(*world, "alqr", "tracking", out=tmp_path, **TINY, **QUIET)
    second = sm.reproduce(*world, "alqr", "bound", out=tmp_path, **TINY, **QUIET)
    assert [done.item.name for done in first.items] == ["tracking"]
    assert [done.item.name for done in second.items] == ["tracking", "bound"]
    tracked = {line.label: line.values for line in second.items[0].found.lines}
    assert tracked["A-LQR, relative plan, target 0.5"]["asked"].mean == 0.5
    solved = tracked["feature LQR solved at the prompt, target 1"]["error"].mean
    assert 0 < solved < tracked["A-LQR, paper's form, λ = 1"]["error"].mean
    held = {line.label: line.values["held"].mean for line in second.items[1].found.lines}
    assert held["whole state"] == held["blockwise"] == 1


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"paper": "nobody"}, UnknownNameError, "there is one of alqr, odesteer"),
        ({"item": "table-1"}, UnknownNameError, "choose one of local-linearity"),
        ({"item": "refusal", "data": {}}, InputError, "refusal needs data.*refusal=PATH.*goal"),
        ({"item": "mmlu", "data": {"knowledge": world_task("knowledge")}}, InputError, "toxicity="),
        ({"data": {"poems": "x"}}, UnknownNameError, "no data of kind 'poems'"),
        ({"data": {"toxicity": "nowhere.jsonl"}}, InputError, "no file or folder 'nowhere.jsonl'"),
        ({"data": {"refusal": "a", "harmful": "b"}}, InputError, "or as harmful=FILE"),
        ({"data": {}, "judges": {"toxicity": ["causal:x"]}}, InputError, "there are no data"),
        ({"columns": {"toxicity": {"a": "b"}}}, InputError, "belong to a data set"),
        ({"count": 0}, InputError, "count is 0"),
        ({"seeds": (1, 1)}, InputError, "each once"),
        ({"lambdas": (1.0, float("nan"))}, InputError, "lambdas are .*nan"),
        ({"lambdas": ()}, InputError, "at least one"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(
    asked, error, message, world, tmp_path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(error, match=message):
        sm.reproduce(*world, **asked, out=out, progress=False)
    assert not out.exists()


def test_items_whose_data_are_missing_are_skipped_with_the_reason(world, tmp_path) -> None:
    found = sm.reproduce(*world, data={}, out=tmp_path, **TINY | {"count": 4}, **QUIET)
    (done,) = found.items
    assert done.item.name == "local-linearity"
    every = {line.label: line.values for line in done.found.lines}["all blocks"]
    assert 0 < every["chance"].mean < every["similarity"].mean < 1
    assert every["missed"].mean < every["identity"].mean
    assert set(found.skipped) == {item.name for item in found.paper.items} - {"local-linearity"}
    assert not found.failed
    assert "concepts:NAME=PATH" in found.skipped["multi-concept"]
    assert found.skipped["mmlu"] in found.summary()
    assert "refusal=PATH" in found.to_html(tmp_path / "page.html").read_text()


@dataclass(frozen=True, eq=False)
class SameBothSides(WorldBehaviour):
    def pairs(self, seed: int, count: int) -> sm.ContrastivePairs:
        texts = super().pairs(seed, count).desired
        return sm.ContrastivePairs(texts, [str(text).replace(" ", "  ") for text in texts])


def test_a_method_that_cannot_be_fitted_has_a_row_that_says_so(world, tmp_path) -> None:
    task = SameBothSides(**vars(world_task("concepts:sea")))
    found = sm.reproduce(
        *(*world, "alqr", "concepts"), data={"concepts:sea": task}, out=tmp_path, **TINY, **QUIET
    )
    (done,) = found.items
    first, *others = done.found.lines
    assert not first.failed and first.values
    assert others and all(line.failed and not line.values for line in others)
    assert "could not be run: " in found.summary()
    assert others[0].failed in found.summary()


@pytest.mark.slow
def test_everything_in_the_wind_tunnel(world, tmp_path) -> None:
    found = sm.reproduce(*world, out=tmp_path, **TINY, **QUIET)
    assert not found.skipped and not found.failed
    assert len(found.items) == len(found.paper.items) == 10
    for done in found.items:
        for line in done.found.lines:
            assert not line.failed, line
            assert all(isfinite(score.mean) for score in line.values.values())
            assert line.values
    page = found.to_html(tmp_path / "report.html").read_text()
    assert page.count("<svg") == 10


def test_two_concepts_are_judged_together_by_their_own_judges() -> None:
    sea, forest = world_task("concepts:sea"), world_task("concepts:forest")
    both = together(sea, forest)
    assert [score for judge in both.judges for score in judge.scores] == [
        "sea in the story",
        "forest in the story",
    ]
    assert both.items("test", 0, 2)
    with pytest.raises(InputError, match="cannot be judged together"):
        together(sea, sea)


def test_the_numbers_that_are_made_of_others() -> None:
    found = root_mean_square([3.0, -4.0])
    assert found.mean == pytest.approx(sqrt(12.5))
    assert found.se == pytest.approx(mean([9.0, 16.0]).se / (2 * sqrt(12.5)))
    assert mean([1.0, float("nan"), 3.0]).missing == 1
    half, tenth = Score(0.5, 0.1, 0.2, 4, 0, (0.5,)), Score(0.1, 0.02, 0.2, 4, 0, (0.1,))
    together = product(half, tenth)
    assert together.mean == pytest.approx(0.05)
    assert together.se == pytest.approx(0.1 * 0.1 + 0.5 * 0.02)
