"""`steersman reproduce`: a paper in, its tables beside ours out."""

import json

import pytest

from steersman.evaluation import making

pytestmark = pytest.mark.filterwarnings("ignore")

TINY = ("--count", 2, "--seeds", 0, "--pairs", 8, "--jacobians", 1, "--lambdas", 1, "--quiet")
WORLD = ("--model", "windtunnel")


def test_what_there_is_is_listed_without_a_model(steersman):
    result = steersman("reproduce", "--list")
    assert result.exit_code == 0, result.output
    for words in ("alqr", "multi-concept", "Needs knowledge and toxicity", "5 x 1000"):
        assert words in " ".join(result.stdout.split())


def test_an_item_is_measured_in_the_wind_tunnel_and_taken_up_again(
    tmp_path, steersman, monkeypatch
):
    real, calls = making.sample, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(making, "sample", interrupted)
    out = tmp_path / "out"
    stopped = steersman("reproduce", "alqr", "multi-concept", *WORLD, "--out", out, *TINY)
    assert stopped.exit_code == 130
    assert "the same command goes on there" in stopped.stderr
    result = steersman("reproduce", "alqr", "multi-concept", *WORLD, "--out", out, *TINY)
    assert result.exit_code == 0, result.output
    assert "both concepts, %" in result.stdout
    assert (out / "report.html").exists() and (out / "figures" / "multi-concept.svg").exists()
    (item,) = json.loads((out / "summary.json").read_text())["items"]
    assert item["name"] == "multi-concept"
    assert item["settings"]["sizes"]["count"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nobody", *WORLD), "there is no reproduction of 'nobody'; there is one of alqr"),
        (("alqr", "table-9", *WORLD), "no table or figure 'table-9'"),
        (("alqr", "refusal", "--model", "gpt2"), "refusal=PATH, requests with 'instruction'"),
        (("alqr", *WORLD, "--data", "poems=x"), "no data of kind 'poems'"),
        (("alqr", *WORLD, "--data", "x"), "each needs a name"),
        (("alqr", *WORLD, "--lambdas", "a"), "expected numbers such as 0.5,1"),
        (("alqr", *WORLD, "--seeds", "a"), "expected whole numbers"),
        (("alqr", "--model", "gpt2", "--judge", "causal:x"), "say which data it is for"),
    ],
)
def test_what_cannot_be_is_one_message(words, message, tmp_path, steersman):
    result = steersman("reproduce", *words, "--out", tmp_path / "out", "--quiet")
    assert result.exit_code == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_file_without_what_is_expected_is_named_with_the_field(tmp_path, steersman):
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"words": "hello", "toxicity": 0.1}\n')
    words = ("reproduce", "alqr", "toxicity", "--model", "gpt2", "--data", f"toxicity={file}")
    result = steersman(*words, "--out", tmp_path / "out")
    assert result.exit_code == 1
    for part in ("prompts.jsonl line 1", "'prompt.text'", "a prompt's text"):
        assert part in result.stderr
    named = steersman(
        *words, "--column", "words=text", "--judge", "oracle", "--out", tmp_path / "o"
    )
    assert "none of the forms" in named.stderr


def test_a_folder_of_something_else_is_left_alone(tmp_path, steersman):
    (tmp_path / "mine.txt").write_text("mine")
    result = steersman("reproduce", "alqr", "bound", *WORLD, "--out", tmp_path, *TINY)
    assert result.exit_code == 1
    assert "was not written by this command" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
