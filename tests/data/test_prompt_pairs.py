"""Pairs from two system prompts, and from prompts with and without their names."""

import pytest

from steersman.data import anonymised_pairs, system_prompt_pairs
from steersman.errors import InputError

KIND, RUDE = "Be kind.", "Be rude."


def test_every_question_is_asked_under_both_system_prompts() -> None:
    turn = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    pairs = system_prompt_pairs(["Who are you?", turn], desired=KIND, undesired=RUDE)
    asked = ({"role": "user", "content": "Who are you?"},)
    assert pairs.paired and len(pairs.desired) == 2
    assert pairs.desired[0] == ({"role": "system", "content": KIND}, *asked)
    assert pairs.undesired[0] == ({"role": "system", "content": RUDE}, *asked)
    assert pairs.desired[1][1:] == tuple(turn) == pairs.undesired[1][1:]


def test_without_an_undesired_one_that_side_has_no_system_prompt() -> None:
    pairs = system_prompt_pairs(["Who are you?"], desired=KIND)
    assert pairs.undesired[0] == ({"role": "user", "content": "Who are you?"},)


@pytest.mark.parametrize(
    ("questions", "prompts", "says"),
    [
        ([], (KIND, RUDE), "no question"),
        ("Who?", (KIND, RUDE), "one text"),
        (["Who?"], (KIND, KIND), "the same"),
        (["Who?"], (" ", RUDE), "desired system prompt is empty"),
        (["Who?", " "], (KIND, RUDE), "question 1 is empty"),
        ([[{"role": "system", "content": "x"}]], (KIND, RUDE), "has a system prompt already"),
    ],
)
def test_system_prompts_or_questions_that_cannot_be_used_are_refused(
    questions: list[str], prompts: tuple[str, str], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        system_prompt_pairs(questions, desired=prompts[0], undesired=prompts[1])


def test_every_variant_of_a_prompt_is_set_against_the_prompt() -> None:
    pairs = anonymised_pairs(
        ["Where does Ann Lee work?", "Ann Lee and Bob met."],
        {"Ann Lee": ["she", "someone"], "Ann": "A", "Bob": ["him", "another"]},
    )
    assert pairs.paired
    assert pairs.desired == ("Where does Ann Lee work?",) * 2 + ("Ann Lee and Bob met.",) * 2
    assert pairs.undesired == (
        "Where does she work?",
        "Where does someone work?",
        "she and him met.",
        "someone and another met.",
    )


def test_names_are_whole_words_and_replaced_once() -> None:
    pairs = anonymised_pairs(["Ann annoys Anna; C++ and Ann."], {"Ann": "Anna", "Anna": "Ann"})
    assert pairs.undesired == ("Anna annoys Ann; C++ and Anna.",)
    assert anonymised_pairs(["I like C++."], {"C++": "it"}).undesired == ("I like it.",)


def test_a_conversation_is_anonymised_in_every_message() -> None:
    given = [{"role": "user", "content": "Ann?"}, {"role": "assistant", "content": "Yes, Ann."}]
    (found,) = anonymised_pairs([given], {"Ann": "she"}).undesired
    assert [message["content"] for message in found] == ["she?", "Yes, she."]


@pytest.mark.parametrize(
    ("prompts", "names", "says"),
    [
        ([], {"Ann": "she"}, "at least one prompt"),
        (["Ann"], {}, "at least one name"),
        ("Ann", {"Ann": "she"}, "one text"),
        (["Ann", "Bob"], {"Ann": "she"}, "prompt 1 has none of the names 'Ann'"),
        (["Ann"], {"Ann": []}, "is empty"),
        (["Ann"], {"Ann": " "}, "is empty"),
        (["Ann"], {"Ann": ["a", "b"], "Bob": ["a", "b", "c"]}, r"\[2, 3\] replacements"),
    ],
)
def test_prompts_or_names_that_cannot_be_used_are_refused(
    prompts: list[str], names: dict[str, str], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        anonymised_pairs(prompts, names)
