"""The card of a saved steering."""

import ast
import re
from dataclasses import replace
from importlib.metadata import version

import pytest
from small_steering import BLOCKS, small_parts

from steersman.artifact import artifact_of
from steersman.methods import ActivationAddition

yaml = pytest.importorskip("yaml")


def _card(**provenance: object) -> str:
    parts = small_parts()
    return artifact_of(parts._replace(provenance=replace(parts.provenance, **provenance))).card


def _front_matter(card: str) -> dict[str, object]:
    found = yaml.safe_load(card.split("---\n")[1])
    assert isinstance(found, dict)
    return found


def test_the_front_matter_is_what_the_hub_asks_for() -> None:
    assert _front_matter(_card()) == {
        "library_name": "steersman",
        "base_model": "tiny/llama",
        "pipeline_tag": "text-generation",
        "tags": ["steersman", "steering", "optimal-control", "a-lqr"],
    }


@pytest.mark.parametrize(
    "path", ["/home/ada/models/llama", "C:\\ada\\models\\llama", "../secret/models/llama", ""]
)
def test_a_path_on_a_disk_is_no_base_model_and_is_not_shown(path: str) -> None:
    card = _card(model=path)
    assert "base_model" not in _front_matter(card)
    assert "ada" not in card and "secret" not in card


def test_a_folder_that_is_called_like_a_repository_is_no_base_model() -> None:
    card = _card(model="models/llama", revision="")
    assert "base_model" not in _front_matter(card)
    assert "# Steering for llama\n" in card


def test_names_cannot_break_out_of_the_front_matter_or_the_tables() -> None:
    hostile = 'x"\n---\nlicense: mit\n| a | b |<script>'
    card = _card(model=hostile, positions=hostile, libraries={"torch": hostile})
    assert "license" not in _front_matter(card)
    assert "<script>" not in card and "\n| a | b |" not in card
    assert card.count("---\n") == card.count("\n---\n") + 1


def test_the_example_is_python_that_names_the_model_and_its_revision() -> None:
    example = re.findall(r"```python\n(.*?)```", _card(), re.DOTALL)[0]
    ast.parse(example)
    assert 'AutoModelForCausalLM.from_pretrained("tiny/llama", revision="1f2e")' in example
    assert len([line for line in example.splitlines() if line and "import" not in line]) == 6


def test_the_table_has_the_separation_at_every_state() -> None:
    parts = small_parts()
    rows = [line for line in artifact_of(parts).card.splitlines() if line.startswith("| input of")]
    direction = parts.features.one
    d, se = float(direction.separation[1]), float(direction.separation_se[1])
    assert len(rows) == BLOCKS
    assert rows[1].startswith(f"| input of block 1 | {d:.2f} | {se:.2f} | ")
    assert "| output of the last block | " in artifact_of(parts).card


def test_a_separation_that_was_not_measured_says_so() -> None:
    card = artifact_of(small_parts(ActivationAddition(), examples=3)).card
    assert card.count("| not measured |") == BLOCKS + 1 and "inf" not in card.split("## Prov")[0]


def test_the_card_says_where_the_steering_comes_from() -> None:
    card = _card()
    for fact in ("a" * 64, "b" * 64, "q = 0.3", "averaged over 4 prompts", f"torch {_torch()}"):
        assert fact in card


def _torch() -> str:
    # As the package was installed: the module adds which build it is.
    return version("torch")
