import inspect
import json

import pytest

import steersman as sm
from steersman.cli.calibrate import calibrate as calibrate_command
from steersman.cli.models import open_prompts

PROMPTS = ("the cat sat on the", "a bird ran and", "one tree", "the big dog said")
FEW = ("--max-new-tokens", 5, "--batch-size", 4, "--tolerance", 0.2, "--tokens", "all")


@pytest.fixture
def prompts_file(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(PROMPTS))
    return path


def test_a_budget_gives_a_strength_a_curve_and_a_file(
    saved_model, saved_steering, prompts_file, tmp_path, steersman
):
    words = ("calibrate", saved_model, saved_steering, "--prompts", prompts_file, "--kl", 0.05)
    result = steersman(*words, *FEW, "--json", tmp_path / "found.json")
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "found.json").read_text())["steersman_calibration"]
    assert found["met"] and found["value"] <= 0.05
    low, high = found["interval"]
    told = (
        f"strength {found['strength']:.4g} ({low:.3g} to {high:.3g}): KL {found['value']:.3g} +- "
    )
    assert told in result.stdout
    assert all(f"{point['strength']:.4g}" in result.stdout for point in found["curve"])
    assert "standard error" in result.stdout
    assert "calibrating: " in result.stderr
    again = steersman(*words, *FEW, "--json", tmp_path / "found.json", "--quiet")
    assert again.exit_code == 0
    assert "calibrating: " not in again.stderr


@pytest.mark.parametrize("budget", [("--perplexity", 1.5), ("--effort", 0.1)])
def test_every_budget_can_be_asked_for(
    budget, saved_model, saved_steering, prompts_file, steersman
):
    words = ("calibrate", saved_model, saved_steering, "-p", prompts_file, "--quiet", *FEW)
    result = steersman(*words, *budget)
    assert result.exit_code == 0, result.output
    assert budget[0].removeprefix("--") in result.stdout


def test_a_budget_that_cannot_be_kept_exits_with_1(
    saved_model, saved_steering, prompts_file, steersman
):
    words = ("calibrate", saved_model, saved_steering, "-p", prompts_file, "--quiet", *FEW)
    result = steersman(*words, "--kl", 1e-6, "--reference", "absolute")
    assert result.exit_code == 1
    assert "NOT MET" in result.stdout


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("give one budget", ()),
        ("give one budget", ("--kl", 0.1, "--effort", 0.1)),
        ("KL(-1.0)", ("--kl", -1)),
        ("maximum is 0", ("--kl", 0.1, "--maximum", 0)),
        ("--along needs the name", ("--kl", 0.1, "--along", 1)),
        ("'mood'", ("--kl", 0.1, "--along", "mood=1")),
        ("none.txt", ("--kl", 0.1, "--prompts", "none.txt")),
        ("not written by this command", ("--kl", 0.1, "--json", "prompts")),
    ],
)
def test_what_cannot_be_asked_says_why(
    said, words, saved_model, saved_steering, prompts_file, steersman
):
    given = [prompts_file if word == "prompts" else word for word in words]
    result = steersman("calibrate", saved_model, saved_steering, "-p", prompts_file, *given)
    assert result.exit_code == 1
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert prompts_file.read_text().splitlines() == list(PROMPTS)


def test_another_model_is_refused(other_model, saved_steering, prompts_file, steersman):
    words = ("calibrate", other_model, saved_steering, "-p", prompts_file, "--kl", 0.1)
    result = steersman(*words)
    assert result.exit_code == 1
    assert "gpt2" in result.stderr


def test_prompts_come_from_files_and_from_the_wind_tunnel(prompts_file, tmp_path):
    settings = {"count": 3, "seed": 0}
    assert open_prompts(str(prompts_file), chat=False, **settings) == list(PROMPTS)
    chats = open_prompts(str(prompts_file), chat=True, **settings)
    assert chats[0] == [{"role": "user", "content": PROMPTS[0]}]
    rows = tmp_path / "prompts.jsonl"
    rows.write_text(json.dumps({"prompt": "the cat"}) + "\n" + json.dumps({"prompt": "a dog"}))
    assert open_prompts(str(rows), chat=False, **settings) == ["the cat", "a dog"]
    assert len(open_prompts("windtunnel:toxicity", chat=False, **settings)) == 3


def test_the_settings_that_nobody_gives_are_those_of_the_library():
    given = inspect.signature(calibrate_command).parameters
    known = inspect.signature(sm.calibrate).parameters
    shared = given.keys() & known.keys() - {"prompts"}
    assert {"maximum", "tolerance", "evaluations", "seed", "batch_size", "correction"} <= shared
    asked = {name: given[name].default for name in shared if name not in ("model", "steering")}
    assert asked == {name: known[name].default for name in asked}
    assert given["max_new_tokens"].default == known["new_tokens"].default
