"""`steersman linearity`: files in, a page and numbers out."""

import json
from pathlib import Path

import pytest

from steersman.cli.models import open_domains
from steersman.local_linearity import TEXTS, LinearityReport

pytest.importorskip("matplotlib")

from steersman.plots import THEME  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

ROWS = [
    {"text": "the cat sat on the mat", "domain": "pets"},
    {"text": "a dog ran and the bird sat", "domain": "pets"},
    {"text": "the red house is big", "domain": "homes"},
    {"text": "a house in the tree", "domain": "homes"},
]


@pytest.fixture
def prompts_file(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in ROWS))
    return path


def test_a_page_and_numbers_are_written(saved_model, prompts_file, pairs_file, tmp_path, steersman):
    page, numbers = tmp_path / "page.html", tmp_path / "numbers.json"
    page.write_text(THEME)  # as a page written before
    words = ("linearity", saved_model, "--prompts", prompts_file, "--pairs", pairs_file, "--quiet")
    result = steersman(*words, "--out", page, "--json", numbers, "--rank", 2)
    assert result.exit_code == 0, result.output
    assert "share missed of a block's answer" in result.stdout
    assert "same domain, other last token" in result.stdout
    found = LinearityReport.from_json(numbers)
    assert set(found.domains) == {"pets", "homes"}
    assert found.remainders.kinds == ("random", "feature", "between prompts")
    assert found.jacobian.rank == 2
    assert page.read_text().count("<svg") == 5


def test_numbers_alone_need_no_page(saved_model, prompts_file, tmp_path, steersman, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("linearity", saved_model, "--prompts", prompts_file, "--quiet")
    assert steersman(*words, "--json", "numbers.json").exit_code == 0
    assert not (tmp_path / "linearity.html").exists()


def test_a_page_of_somebody_else_is_left_alone(saved_model, tmp_path, steersman):
    page = tmp_path / "page.html"
    page.write_text("<html>my own page</html>")
    result = steersman("linearity", saved_model, "--quiet", "--out", page)
    assert result.exit_code == 1
    assert page.read_text() == "<html>my own page</html>"


def test_one_prompt_is_one_message_and_no_page(saved_model, tmp_path, steersman):
    path, page = tmp_path / "prompts.txt", tmp_path / "page.html"
    path.write_text("the cat sat\n")
    result = steersman("linearity", saved_model, "--prompts", path, "--out", page)
    assert result.exit_code == 1
    assert "two at least" in result.stderr
    assert "Traceback" not in result.stderr
    assert not page.exists()


def test_prompts_come_with_the_package():
    drawn = open_domains(None, "windtunnel", count=3, seed=0)
    assert [len(texts) for texts in drawn.values()] == [3] * 4
    texts = open_domains(None, "gpt2", count=2, seed=0)
    assert [len(found) for found in texts.values()] == [2] * len(TEXTS)
    assert all(one[0].rstrip().endswith(".") and not one[1].endswith(".") for one in texts.values())


@pytest.mark.slow
def test_the_wind_tunnel_needs_no_files(tmp_path, steersman):
    page = tmp_path / "page.html"
    result = steersman("linearity", "windtunnel", "--count", 2, "--quiet", "--out", page)
    assert result.exit_code == 0, result.output
    assert "feature" in result.stdout
    assert page.exists()
