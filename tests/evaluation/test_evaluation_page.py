"""The page of an evaluation: everything that was measured and everything that failed is on it."""

import sys

import pytest

import steersman as sm
from steersman.errors import InputError
from steersman.evaluation import evaluate, task_named
from steersman.evaluation.judges import Answer, Exact
from steersman.windtunnel import behaviour, load

MODEL, TOKENIZER = load()
FEW = {"count": 8, "batch_size": 4, "progress": False}

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def both():
    steering = sm.fit(
        MODEL,
        TOKENIZER,
        behaviour("refusal").pairs(0, 20),
        method="activation-addition",
        progress=False,
    )
    bare = evaluate(MODEL, TOKENIZER, "refusal", **FEW)
    return bare, evaluate(MODEL, TOKENIZER, "refusal", steering, **FEW)


def test_steered_and_unsteered_stand_side_by_side(both, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    bare, steered = both
    page = steered.to_html(tmp_path / "page.html", bare).read_text()
    assert page.count("<svg") == 2
    for words in ("attack success", "over-refusal", "distinct-2", "Unsteered", "Steered"):
        assert words in page
    assert "Nothing: every one of 16 samples was made and judged" in page
    assert "<script" not in page
    assert page.count('class="sample"') == 8


def test_the_same_evaluation_gives_the_same_bytes(both, tmp_path) -> None:
    bare, steered = both
    first = steered.to_html(tmp_path / "a.html", bare).read_bytes()
    assert steered.to_html(tmp_path / "b.html", bare).read_bytes() == first


def test_without_matplotlib_there_are_tables(both, tmp_path, monkeypatch) -> None:
    for name in [name for name in sys.modules if name.startswith("steersman.plots")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = both[1].to_html(tmp_path / "page.html", both[0]).read_text()
    assert "<svg" not in page
    assert "attack success" in page


def test_what_failed_is_on_the_page_and_words_are_escaped(tmp_path) -> None:
    def rule(answer: Answer) -> dict[str, float]:
        return {"toxic": float("inf")}

    task = task_named("toxicity")
    judge = Exact("<b>judge</b>", ("toxic",), rule)
    broken = type(task)(task.name, task.asked, task.headline, False, task.recipe, (judge,))
    found = evaluate(MODEL, TOKENIZER, broken, **FEW)
    page = found.to_html(tmp_path / "page.html").read_text()
    assert "&lt;b&gt;judge&lt;/b&gt; failed on 8 of 8: toxic is not finite." in page
    assert "<b>judge</b>" not in page
    assert "not known" in page


def test_questions_with_choices_have_a_page_too(tmp_path) -> None:
    found = evaluate(MODEL, TOKENIZER, "knowledge", **FEW)
    page = found.to_html(tmp_path / "page.html").read_text()
    assert "accuracy" in page and "choice " in page


def test_evaluations_of_different_tasks_are_not_compared(both, tmp_path) -> None:
    other = evaluate(MODEL, TOKENIZER, "toxicity", **FEW)
    with pytest.raises(InputError, match="different tasks"):
        both[1].to_html(tmp_path / "page.html", other)
