"""`steersman compare`: methods in, a table, a folder and a page out."""

import json

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")

FEW = ("--count", 3, "--validation", 3, "--pairs", 8, "--seeds", "0", "--targets", "0.5,1")
QUICK = (*FEW, "--evaluations", 7, "--repeats", 1, "--quiet")


def test_methods_are_compared_and_written(tmp_path, steersman) -> None:
    words = ("compare", "--task", "truthfulness", "--model", "windtunnel", "--methods", "clamp")
    out = tmp_path / "out"
    result = steersman(*words, "--budget", "kl=0.05", "--out", out, *QUICK)
    assert result.exit_code == 0, result.output
    assert "at KL 0.05 on validation prompts" in " ".join(result.stdout.split())
    assert "activation-addition" in result.stdout
    summary = json.loads((out / "summary.json").read_text())
    assert [one["label"] for one in summary["methods"]] == ["activation-addition", "clamp"]
    assert (out / "report.html").exists()
    assert json.loads((out / "timing.json").read_text())["clamp"]["times_unsteered"] > 0
    again = steersman(*words, "--budget", "kl=0.1", "--out", out, *QUICK)
    assert again.exit_code == 1
    assert "comparison.budget.limit is 0.05 there and 0.1 here" in again.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--budget", "love=1"), "expected kl=0.1, perplexity=1.1 or effort=0.1"),
        (("--budget", "kl=-1"), "can never be kept"),
        (("--targets", "a,b"), "expected numbers such as 0.5,1"),
        (("--methods", "flying"), "there is no method 'flying'"),
    ],
)
def test_what_cannot_be_understood_is_one_message(words, message, tmp_path, steersman) -> None:
    start = ("compare", "--task", "toxicity", "--model", "windtunnel", "--out", tmp_path / "out")
    result = steersman(*start, *words)
    assert result.exit_code == 1
    assert message in " ".join(result.stderr.split())
