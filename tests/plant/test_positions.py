"""Position rules select the tokens they name."""

from typing import Any

import pytest

from steersman.errors import InputError, UnknownNameError
from steersman.plant.positions import (
    AfterMarker,
    AllTokens,
    FirstResponseToken,
    LastToken,
    Positions,
    Regex,
    ResponseTokens,
    WrittenTokens,
    positions_named,
)
from steersman.plant.tokens import Tokens, tokenize

TEXT = "the cat said a dog said the bird"


def words(tokenizer: Any, tokens: Tokens, rule: Positions) -> list[str]:
    return [tokenizer.convert_ids_to_tokens(tokens.ids[i]) for i in rule.select(tokens)]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (LastToken(), ["bird"]),
        (AllTokens(), TEXT.split()),
        (AfterMarker("said"), ["said"]),
        (AfterMarker("cat said a"), ["a"]),
        (AfterMarker("fish"), []),
        (Regex("said"), ["said", "said"]),
        (Regex(r"said (\w+)"), ["a", "the"]),
        (Regex("at sa"), ["cat", "said"]),
        (Regex("x*"), []),
    ],
)
def test_a_rule_selects_its_tokens(rule: Positions, expected: Any, tiny_tokenizer: Any) -> None:
    (tokens,) = tokenize(tiny_tokenizer, [TEXT])
    assert words(tiny_tokenizer, tokens, rule) == expected


def test_unknown_words_are_text_and_not_special(tiny_tokenizer: Any) -> None:
    (tokens,) = tokenize(tiny_tokenizer, ["the zebra"])
    assert words(tiny_tokenizer, tokens, AllTokens()) == ["the", "<unk>"]


def test_the_marker_is_taken_where_it_occurs_last(tiny_tokenizer: Any) -> None:
    (tokens,) = tokenize(tiny_tokenizer, [TEXT])
    assert AfterMarker("said").select(tokens) == (6,)


def test_the_response_of_a_conversation_is_the_assistants_last_answer(tiny_tokenizer: Any) -> None:
    chat = [
        {"role": "user", "content": "the cat"},
        {"role": "assistant", "content": "one two"},
        {"role": "user", "content": "and"},
        {"role": "assistant", "content": "three four"},
    ]
    (tokens,) = tokenize(tiny_tokenizer, [chat])
    assert words(tiny_tokenizer, tokens, ResponseTokens()) == ["three", "four"]
    assert words(tiny_tokenizer, tokens, FirstResponseToken()) == ["three"]
    assert words(tiny_tokenizer, tokens, LastToken()) == ["four"]


def test_the_response_of_plain_text_starts_after_its_prompt(tiny_tokenizer: Any) -> None:
    (tokens,) = tokenize(tiny_tokenizer, [TEXT], prompts=["the cat said"])
    assert words(tiny_tokenizer, tokens, ResponseTokens()) == TEXT.split()[3:]
    assert words(tiny_tokenizer, tokens, FirstResponseToken()) == ["a"]
    assert words(tiny_tokenizer, tokens, WrittenTokens()) == TEXT.split()[3:]
    (whole,) = tokenize(tiny_tokenizer, [TEXT])
    assert words(tiny_tokenizer, whole, WrittenTokens()) == TEXT.split()


def test_text_without_a_response_is_refused_with_what_to_do(tiny_tokenizer: Any) -> None:
    (tokens,) = tokenize(tiny_tokenizer, [TEXT])
    with pytest.raises(InputError, match="has no response: end the conversation"):
        FirstResponseToken().select(tokens)


@pytest.mark.parametrize(
    "rule",
    [
        LastToken(),
        AllTokens(),
        ResponseTokens(),
        FirstResponseToken(),
        WrittenTokens(),
        AfterMarker("a: b"),
        Regex("^a:?"),
    ],
)
def test_every_rule_is_made_again_from_its_name(rule: Positions) -> None:
    assert positions_named(rule.name) == rule
    assert str(rule) == rule.name


@pytest.mark.parametrize("name", ["first", "", "marker", "regex", "Last"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(
        UnknownNameError, match="last, all, response, first-response, written, marker"
    ):
        positions_named(name)


@pytest.mark.parametrize("name", ["marker:", "regex:("])
def test_a_marker_or_pattern_that_cannot_be_used_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        positions_named(name)


def test_a_tokenizer_that_tells_no_spans_is_refused_where_they_are_needed() -> None:
    tokens = Tokens((1, 2), "a b", None, (False, False))
    assert LastToken().select(tokens) == (1,)
    assert AllTokens().select(tokens) == (0, 1)
    with pytest.raises(InputError, match="marker:a.*load the fast one"):
        AfterMarker("a").select(tokens)
