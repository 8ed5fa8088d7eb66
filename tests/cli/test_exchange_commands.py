import warnings

import pytest
import torch

import steersman as sm
from steersman.cli.blocks import blocks_of
from steersman.errors import InputError

VECTORS = {1: torch.linspace(-1, 1, 32), 2: torch.linspace(0, 2, 32)}


@pytest.fixture
def their_file(tmp_path):
    torch.save(VECTORS, tmp_path / "calm.pt")
    return tmp_path / "calm.pt"


def test_a_file_becomes_a_steering_and_a_file_again(saved_model, their_file, tmp_path, steersman):
    words = ("--model", saved_model, "--out", tmp_path / "calm")
    result = steersman("import", their_file, *words)
    assert result.exit_code == 0, result.output
    assert "imported from calm.pt, blocks 1 .. 2" in result.stdout
    steering = sm.Steering.from_pretrained(tmp_path / "calm")
    assert all(torch.equal(steering.plan[block], v) for block, v in VECTORS.items())
    result = steersman("generate", saved_model, "the cat", "-s", tmp_path / "calm", "--target", 3)
    assert result.exit_code == 0, result.output
    theirs = tmp_path / "calm.svec"
    result = steersman("export", tmp_path / "calm", theirs)
    assert result.exit_code == 0, result.output
    again = steersman(
        *("import", theirs, "--model", saved_model, "--out", tmp_path / "again", "--blocks", "2")
    )
    assert again.exit_code == 0, again.output
    steering = sm.Steering.from_pretrained(tmp_path / "again")
    assert steering.controller.active == (2,)
    assert torch.equal(steering.plan[2], VECTORS[2])


def test_what_is_wrong_is_said_before_a_model_is_loaded(their_file, tmp_path, steersman):
    words = ("--model", "no-such-model", "--out", tmp_path / "calm")
    (tmp_path / "bad.svec").write_text("{}")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    for file, more, message in (
        (tmp_path / "bad.svec", words, "bad.svec has no 'directions'"),
        (tmp_path / "nothing.gguf", words, "no file"),
        (their_file, (*words, "--blocks", "x"), "expected numbers and ranges"),
        (their_file, (*words[:3], tmp_path / "mine"), "thesis.txt"),
    ):
        result = steersman("import", file, *more)
        assert result.exit_code == 1
        assert message in result.stderr and "loading" not in result.stderr


def test_nothing_is_written_over(saved_steering, tmp_path, steersman):
    (tmp_path / "calm.svec").write_text("mine")
    result = steersman("export", saved_steering, tmp_path / "calm.svec")
    assert result.exit_code == 1
    assert "is there already" in result.stderr
    assert (tmp_path / "calm.svec").read_text() == "mine"
    result = steersman("export", saved_steering, tmp_path / "calm.txt")
    assert result.exit_code == 1
    assert "choose one of gguf, svec" in result.stderr


def test_a_plan_that_acts_at_some_tokens_is_exported_with_a_warning(
    saved_steering, tmp_path, steersman
):
    with warnings.catch_warnings():
        result = steersman("export", saved_steering, tmp_path / "calm.svec", "--blocks", "0-1")
    assert result.exit_code == 0, result.output
    assert "every token" in result.stderr
    assert (tmp_path / "calm.svec").exists()


def test_blocks_are_numbers_and_ranges():
    assert blocks_of(None) is None
    assert blocks_of("13") == 13
    assert blocks_of("3-5, 9") == [3, 4, 5, 9]
    for wrong in ("", "a", "5-3", "1,,2", "-1"):
        with pytest.raises(InputError, match="as 3-20,25"):
            blocks_of(wrong)
