"""An evaluation in the wind tunnel: what it counts, writes, and takes up again."""

import json
import math
from pathlib import Path

import pytest
import torch

import steersman as sm
from steersman.errors import InputError, MismatchError
from steersman.evaluation import Evaluation, evaluate, task_named
from steersman.evaluation.batches import batches_of
from steersman.evaluation.folder import RUN, SAMPLES, SETTINGS, SUMMARY, Folder
from steersman.evaluation.judges import Answer, Ask, Exact, YesNo
from steersman.evaluation.making import EMPTY
from steersman.evaluation.metrics import indicators
from steersman.sampling import sample
from steersman.windtunnel import behaviour, load

MODEL, TOKENIZER = load()
SHORT = "truthfulness"
"""A task whose continuations are short."""
FEW = {"count": 6, "batch_size": 4, "progress": False}


@pytest.fixture(scope="module")
def steering():
    return sm.fit(
        MODEL,
        TOKENIZER,
        behaviour("toxicity").pairs(0, 40),
        method="activation-addition",
        progress=False,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an evaluation that was never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    evaluate(MODEL, TOKENIZER, SHORT, seeds=(0, 1), out=folder, **FEW)
    return folder


def written(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in (SETTINGS, SAMPLES, SUMMARY)}


def test_the_bare_model_does_not_diverge_from_itself() -> None:
    found = evaluate(MODEL, TOKENIZER, "toxicity", **FEW)
    assert found.samples == 6
    assert found.divergence.mean == pytest.approx(0, abs=1e-5)
    assert set(found.scores) == {"toxic"}
    shown = {"loss", "perplexity", "branching", "repetition", "distinct-2", "grammatical"}
    assert shown <= set(found.panel)
    assert found.failures == ()


def test_the_branching_factor_is_that_of_what_was_written() -> None:
    settings = {"seeds": (3,), "count": 4, "batch_size": 4}
    found, task = evaluate(MODEL, TOKENIZER, "toxicity", progress=False, **settings), "toxicity"
    (batch,) = batches_of(task_named(task), "test", **settings)
    prompts = [slot.item.prompt for slot in batch.slots]
    length = task_named(task).recipe.new_tokens
    drawn = sample(MODEL, TOKENIZER, prompts, new_tokens=length, seed=batch.random_seed)
    expected = [float(one.branching.mean()) for one in indicators(MODEL, drawn)]
    assert [row["text"] for row in found.rows] == drawn[0].texts
    assert [row["branching"] for row in found.rows] == pytest.approx(expected, rel=1e-5)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_steering_diverges_and_what_it_wrote_is_judged(steering) -> None:
    found = evaluate(MODEL, TOKENIZER, "toxicity", steering, 1.0, seeds=(0, 1), **FEW)
    bare = evaluate(MODEL, TOKENIZER, "toxicity", seeds=(0, 1), **FEW)
    assert found.divergence.mean > 0.01
    assert [row["id"] for row in found.rows] == [row["id"] for row in bare.rows]
    judge = behaviour("toxicity").judge
    for row in found.rows:
        assert row["scores"]["toxic"] == judge(None, row["text"])["toxic"]
    mean = sum(row["scores"]["toxic"] for row in found.rows) / 12
    assert found.headline.mean == pytest.approx(mean)
    assert found.headline.count == 12
    assert len(found.headline.by_seed) == 2


def test_what_is_written_is_what_is_returned(tmp_path: Path) -> None:
    found = evaluate(MODEL, TOKENIZER, "refusal", seeds=(3,), out=tmp_path / "run", **FEW)
    loaded = Evaluation.load(tmp_path / "run")
    assert loaded.to_dict() == found.to_dict()
    assert loaded.rows == found.rows
    assert [row["group"] for row in found.rows] == ["harmful", "harmless"] * 3
    assert found.scores["attack success"].count == found.scores["over-refusal"].count == 3
    runs = json.loads((tmp_path / "run" / RUN).read_text())["runs"]
    assert [run["samples"] for run in runs] == [6]


def test_a_finished_evaluation_is_not_computed_again(whole: Path, monkeypatch) -> None:
    before, first = written(whole), Evaluation.load(whole)
    monkeypatch.setattr("steersman.evaluation.making.sample", None)
    again = evaluate(MODEL, TOKENIZER, SHORT, seeds=(0, 1), out=whole, **FEW)
    assert again.to_dict() == first.to_dict()
    assert written(whole) == before


@pytest.mark.parametrize("kept", [0, 1, 300, 1500, 2500])
def test_half_written_samples_are_made_again(tmp_path: Path, whole: Path, kept: int) -> None:
    (tmp_path / SETTINGS).write_bytes((whole / SETTINGS).read_bytes())
    (tmp_path / SAMPLES).write_bytes((whole / SAMPLES).read_bytes()[:kept])
    evaluate(MODEL, TOKENIZER, SHORT, seeds=(0, 1), out=tmp_path, **FEW)
    assert written(tmp_path) == written(whole)


def test_a_batch_does_not_depend_on_what_ran_before() -> None:
    alone = evaluate(MODEL, TOKENIZER, SHORT, seeds=(1,), **FEW)
    torch.manual_seed(123)
    after = evaluate(MODEL, TOKENIZER, SHORT, seeds=(0, 1), **FEW)
    assert [row for row in after.rows if row["seed"] == 1] == list(alone.rows)


def test_a_folder_with_other_settings_is_refused_with_what_differs(tmp_path: Path) -> None:
    evaluate(MODEL, TOKENIZER, SHORT, out=tmp_path, **FEW)
    before = written(tmp_path)
    with pytest.raises(MismatchError, match=r"count is 6 there and 5 here"):
        evaluate(MODEL, TOKENIZER, SHORT, out=tmp_path, **FEW | {"count": 5})
    with pytest.raises(MismatchError, match=r"task.name is \"truthfulness\" there"):
        evaluate(MODEL, TOKENIZER, "refusal", out=tmp_path, **FEW)
    assert written(tmp_path) == before


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"thesis.txt and no evaluation"):
        evaluate(MODEL, TOKENIZER, SHORT, out=tmp_path, **FEW)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_processes_do_not_write_to_one_folder(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    evaluate(MODEL, TOKENIZER, SHORT, out=tmp_path, **FEW)
    settings = json.loads((tmp_path / SETTINGS).read_text())
    other = Folder(tmp_path, settings)
    with pytest.raises(InputError, match="another process is writing"):
        evaluate(MODEL, TOKENIZER, SHORT, out=tmp_path, **FEW)
    other.close()
    evaluate(MODEL, TOKENIZER, SHORT, out=tmp_path, **FEW)


def test_a_changed_line_is_noticed(tmp_path: Path) -> None:
    evaluate(MODEL, TOKENIZER, SHORT, out=tmp_path, **FEW)
    lines = (tmp_path / SAMPLES).read_text().splitlines(keepends=True)
    (tmp_path / SAMPLES).write_text("".join([lines[1], lines[0], *lines[2:]]))
    with pytest.raises(MismatchError, match="another sample"):
        evaluate(MODEL, TOKENIZER, SHORT, out=tmp_path, **FEW)


def with_judge(rule, needs_text: bool = False):
    task = task_named("toxicity")
    judge = Exact("strict", ("toxic",), rule, needs_text)
    return type(task)(task.name, task.asked, task.headline, False, task.recipe, (judge,))


def test_a_score_that_is_not_finite_is_a_failure_that_is_counted() -> None:
    def rule(answer: Answer) -> dict[str, float]:
        return {"toxic": math.inf if "mill" in str(answer.item.prompt) else 0.0}

    found = evaluate(MODEL, TOKENIZER, with_judge(rule), **FEW | {"count": 30, "batch_size": 15})
    broken = sum("mill" in row["prompt"] for row in found.rows)
    assert 0 < broken < 30
    assert found.headline.count == 30 - broken
    assert found.headline.missing == broken
    assert [(one.judge, one.count) for one in found.failures] == [("strict", broken)]
    assert f"strict failed on {broken} of 30: toxic is not finite" in found.summary()


def test_empty_continuations_are_counted_and_shown(monkeypatch) -> None:
    from steersman.evaluation import making

    real = making.sample

    def silent(*args, **kwargs):
        (batch,) = real(*args, **kwargs)
        batch.texts[0] = " "
        return [batch]

    monkeypatch.setattr(making, "sample", silent)
    found = evaluate(MODEL, TOKENIZER, with_judge(lambda answer: {"toxic": 1.0}, True), **FEW)
    assert found.empty == 2
    assert found.headline.missing == 2
    assert [(one.reason, one.count) for one in found.failures] == [(EMPTY, 2)]
    assert "2 of 6 continuations are empty" in found.summary()


def test_a_row_that_cannot_be_drawn_does_not_spoil_its_batch(monkeypatch) -> None:
    from steersman.errors import NumericalError
    from steersman.evaluation import making

    real, tried = making.sample, []

    def fragile(model, tokenizer, prompts, **kwargs):
        tried.append(len(prompts))
        if len(prompts) > 1 or len(tried) == 2:
            raise NumericalError("the logits are not finite")
        return real(model, tokenizer, prompts, **kwargs)

    monkeypatch.setattr(making, "sample", fragile)
    found = evaluate(MODEL, TOKENIZER, "toxicity", **FEW | {"count": 4})
    assert tried == [4, 1, 1, 1, 1]
    assert found.headline.count == 3
    assert found.rows[0]["text"] is None
    assert found.rows[0]["failures"]["generation"] == "the logits are not finite"
    assert found.panel["divergence"].missing == 1


def test_a_prompt_that_does_not_fit_is_a_failure_of_its_own(monkeypatch) -> None:
    task = task_named("toxicity")
    items = list(task.items("test", 0, 3))
    long = items[1].prompt * 400
    items[1] = type(items[1])("long", long, items[1].known)
    monkeypatch.setattr(type(task), "items", lambda self, split, seed, count: tuple(items))
    found = evaluate(MODEL, TOKENIZER, task, **FEW)
    assert found.rows[1]["text"] is None
    assert "too long" in found.rows[1]["failures"]["generation"]
    assert found.headline.missing == 1
    assert found.rows[0]["text"]


@pytest.mark.parametrize("name", ["truthfulness", "concepts:sea", "fluency", "knowledge"])
def test_every_task_of_the_wind_tunnel_has_its_headline(name: str) -> None:
    found = evaluate(MODEL, TOKENIZER, name, **FEW)
    assert 0 <= found.headline.mean <= 1
    assert found.headline.count == 6
    assert name in found.summary()


def test_a_judge_that_is_not_there_is_told_before_anything_is_written(tmp_path: Path) -> None:
    task = task_named("toxicity")
    judge = YesNo(Ask("kind", "Is this kind? {answer}"), "/nowhere/judge")
    broken = type(task)(task.name, task.asked, task.headline, False, task.recipe, (judge,))
    with pytest.raises(InputError, match="the judge of 'kind': the model '/nowhere/judge'"):
        evaluate(MODEL, TOKENIZER, broken, out=tmp_path / "out", **FEW)
    assert not (tmp_path / "out").exists()


def test_two_judges_with_one_score_are_refused() -> None:
    task = task_named("toxicity")
    judges = tuple(Exact(name, ("toxic",), lambda answer: {"toxic": 0.0}) for name in "ab")
    twice = type(task)(task.name, task.asked, task.headline, False, task.recipe, judges)
    with pytest.raises(InputError, match="'a' and 'b' both give the score 'toxic'"):
        evaluate(MODEL, TOKENIZER, twice, **FEW)


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in ({"seeds": ()}, {"seeds": (1, 1)}, {"batch_size": 0}, {"count": 0}):
        with pytest.raises(InputError):
            evaluate(MODEL, TOKENIZER, "toxicity", **FEW | wrong)
    with pytest.raises(InputError, match="say how many"):
        evaluate(MODEL, TOKENIZER, "toxicity", **FEW | {"count": None})


def test_what_should_be_left_alone_joins_the_side_effects(tmp_path: Path) -> None:
    beside = ["knowledge", "concepts:sea"]
    found = evaluate(MODEL, TOKENIZER, "toxicity", beside=beside, out=tmp_path, **FEW)
    alone = evaluate(MODEL, TOKENIZER, "knowledge", **FEW)
    assert found.panel["accuracy of knowledge"] == alone.headline
    assert found.panel["sea in the story of concepts:sea"].count == 6
    assert Evaluation.load(tmp_path).panel.keys() == found.panel.keys()
    assert Evaluation.load(tmp_path / "beside" / "concepts-sea").samples == 6
    with pytest.raises(MismatchError, match="beside is"):
        evaluate(MODEL, TOKENIZER, "toxicity", out=tmp_path, **FEW)


def test_evaluate_is_public() -> None:
    assert sm.evaluate is evaluate
