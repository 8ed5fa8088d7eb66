"""Prompts by domain, from every kind of file."""

import json
from pathlib import Path

import pytest

from steersman.data import read_prompts
from steersman.errors import InputError


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_lines_are_one_domain(tmp_path):
    path = written(tmp_path / "prompts.txt", "the first\n\nthe second\n")
    assert read_prompts(path) == {"prompts": ("the first", "the second")}


def test_a_column_names_the_domain(tmp_path):
    path = written(tmp_path / "prompts.csv", "prompt,domain\none,law\ntwo,code\nthree,law\n")
    assert read_prompts(path) == {"law": ("one", "three"), "code": ("two",)}


def test_an_object_has_a_list_for_each_domain(tmp_path):
    path = written(tmp_path / "p.json", json.dumps({"law": ["one", "two"], "code": ["three"]}))
    assert read_prompts(path) == {"law": ("one", "two"), "code": ("three",)}


def test_a_conversation_is_a_prompt(tmp_path):
    turns = [{"role": "user", "content": "hello"}]
    path = written(tmp_path / "p.jsonl", json.dumps({"messages": turns, "domain": "chat"}))
    assert read_prompts(path) == {"chat": (tuple(turns),)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"law": ["one"], "code": "two", "maths": ["x"]}, "domain 'code' holds no list"),
        ({"law": ["one", ""], "code": ["two"]}, "law 1 is empty"),
        ([{"comment": "one"}], "say which one holds the example"),
    ],
)
def test_what_holds_no_prompts_is_refused(content, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read_prompts(written(tmp_path / "p.json", json.dumps(content)))
