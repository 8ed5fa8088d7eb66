"""`steersman eval`: a task in, samples, scores and a page out."""

import json

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")

FEW = ("--count", 4, "--batch-size", 4, "--quiet")


@pytest.fixture
def texts_file(tmp_path):
    path = tmp_path / "texts.jsonl"
    words = ("cat", "dog", "bird", "tree", "house")
    rows = [{"text": f"the {a} and the {b}"} for a in words for b in words]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_a_steered_and_an_unsteered_run_are_written(
    saved_model, saved_steering, texts_file, tmp_path, steersman
):
    out = tmp_path / "out"
    words = ("eval", "fluency", "--model", saved_model, "--steering", saved_steering)
    more = ("--data", texts_file, "--recipe", "plain", "--seeds", "0,2", "--out", out, *FEW)
    result = steersman(*words, "--target", "0.5", *more)
    assert result.exit_code == 0, result.output
    for folder in (out, out / "unsteered"):
        lines = (folder / "samples.jsonl").read_text().splitlines()
        assert [json.loads(line)["seed"] for line in lines] == [0] * 4 + [2] * 4
    summary = json.loads((out / "summary.json").read_text())
    assert summary["settings"]["steering"]["target"] == 0.5
    assert summary["panel"]["divergence"]["mean"] > 0
    assert "a-lqr, target 0.5" in result.stdout
    assert "unsteered" in result.stdout
    assert (out / "report.html").exists()
    again = steersman(*words, "--target", "0.5", *more)
    assert again.exit_code == 0, again.output
    other = steersman(*words, "--target", "1.0", *more)
    assert other.exit_code == 1
    assert "steering.target is 0.5 there and 1.0 here" in other.stderr


def test_the_wind_tunnel_needs_no_files(tmp_path, steersman):
    words = ("eval", "toxicity", "--model", "windtunnel", "--out", tmp_path / "out")
    result = steersman(*words, "--beside", "knowledge", *FEW)
    assert result.exit_code == 0, result.output
    assert "accuracy of knowledge" in result.stdout
    assert (tmp_path / "out" / "beside" / "knowledge" / "summary.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("toxicity", "--seeds", "0,x"), "expected whole numbers"),
        (("flying",), "there is no behaviour 'flying'"),
        (("toxicity", "--data", "nowhere.jsonl"), "no file or folder 'nowhere.jsonl'"),
        (("toxicity", "--recipe", "alqr"), "belong to a data set"),
        (("refusal", "--data", "harmful=a", "--data", "b"), "each needs a name"),
        (("fluency", "--judge", "oracle", "--data", "."), "none of the forms"),
    ],
)
def test_what_cannot_be_is_one_message(words, message, tmp_path, steersman):
    result = steersman("eval", *words, "--model", "windtunnel", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_interrupt_leaves_a_folder_to_go_on_in(tmp_path, steersman, monkeypatch):
    from steersman.evaluation import making

    real, calls = making.sample, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(making, "sample", interrupted)
    words = ("eval", "toxicity", "--model", "windtunnel", "--out", tmp_path / "out")
    stopped = steersman(*words, "--count", 8, "--batch-size", 4, "--quiet")
    assert stopped.exit_code == 130
    assert "the same command goes on there" in stopped.stderr
    assert len((tmp_path / "out" / "samples.jsonl").read_text().splitlines()) == 4
    result = steersman(*words, "--count", 8, "--batch-size", 4, "--quiet")
    assert result.exit_code == 0, result.output
    assert len(calls) == 3
