"""`steersman bound`: a table of bands, other prompts, and a file that can be read again."""

import pytest

import steersman as sm
from steersman.bounding import TrackingBound

WORDS = ("cat", "dog", "bird", "house", "tree", "the")
FEW = ("--level", 0.7, "--quiet")


@pytest.fixture
def prompts_file(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(f"the {a} and {b}" for a in WORDS[:3] for b in WORDS[2:5]))
    return path


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_it_tells_the_bands_and_keeps_them(
    saved_model, saved_steering, prompts_file, tmp_path, steersman
):
    other = tmp_path / "others.txt"
    other.write_text("one cat\none dog sat\na big bird")
    file = tmp_path / "bound.json"
    words = ("bound", saved_model, "--steering", saved_steering, "-p", prompts_file, *FEW)
    result = steersman(*words, "--target", 0.5, "--check", other, "--out", file)
    assert result.exit_code == 0, result.output
    found = TrackingBound.from_json(file, sm.Steering.from_pretrained(saved_steering))
    assert found.attachment.target == 0.5 and found.level == 0.7
    for band in found.bands:
        assert f"+- {band.name}" in result.stdout and band.guarantee in result.stdout
        assert f"{float(band.radius[-1]):.3g}" in result.stdout
    assert f"{float(found.predicted[-1]):.3f}" in result.stdout
    assert "3 prompts, " in result.stdout and "bound / error" in result.stdout
    again = steersman(*words, "--target", 0.5, "--out", file)
    assert again.exit_code == 0, again.output


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("needs at least 19 calibration prompts; 6", ("--level", 0.95)),
        ("a bound is of one that is not zero", ("--target", 0)),
        ("there is no feature 'mood'", ("--feature", "mood")),
        ("target names 'mood'", ("--target", "mood=1")),
        ("none.txt", ("--prompts", "none.txt")),
        ("not written by this command", ("--out", "prompts")),
    ],
)
def test_what_cannot_be_bounded_says_why(
    said, words, saved_model, saved_steering, prompts_file, steersman
):
    given = [prompts_file if word == "prompts" else word for word in words]
    start = ("bound", saved_model, "-s", saved_steering, "-p", prompts_file, *FEW)
    result = steersman(*start, *given)
    assert result.exit_code == 1
    assert said in result.stderr
