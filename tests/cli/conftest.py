"""A tiny model in a folder, examples in a file, and the command line as a function."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from typer.testing import CliRunner, Result

from steersman.cli import app

Steersman = Callable[..., Result]

GOOD, BAD = ("good", "happy", "warm"), ("bad", "sad", "cold")
OPENINGS = ("the cat said the dog is", "a bird sat and the house is", "one tree and two dog are")


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("COLUMNS", "240")
    monkeypatch.setenv("TERM", "dumb")
    yield


@pytest.fixture
def steersman() -> Steersman:
    """`steersman("fit", ...)`: what the command line does with these words."""

    def run(*words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    return run


@pytest.fixture(scope="session")
def saved_model(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Callable[[str], PreTrainedModel],
    tiny_tokenizer: PreTrainedTokenizerFast,
) -> Path:
    """A folder with a tiny llama and its tokenizer."""
    return _save(tmp_path_factory.mktemp("llama"), tiny_model("llama"), tiny_tokenizer)


@pytest.fixture(scope="session")
def other_model(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Callable[[str], PreTrainedModel],
    tiny_tokenizer: PreTrainedTokenizerFast,
) -> Path:
    """A folder with a tiny model of another architecture."""
    return _save(tmp_path_factory.mktemp("gpt2"), tiny_model("gpt2"), tiny_tokenizer)


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine contrastive pairs."""
    rows = [
        {"desired": f"{opening} {good}", "undesired": f"{opening} {bad}"}
        for opening in OPENINGS
        for good, bad in zip(GOOD, BAD, strict=True)
    ]
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.fixture(scope="session")
def saved_steering(
    tmp_path_factory: pytest.TempPathFactory, saved_model: Path, pairs_file: Path
) -> Path:
    """A steering that the command line fitted."""
    folder = tmp_path_factory.mktemp("fitted") / "calm"
    words = ["fit", saved_model, pairs_file, "--out", folder, "--jacobian-prompts", 2, "--quiet"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return folder


def _save(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
