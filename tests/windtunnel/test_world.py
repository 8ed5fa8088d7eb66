"""The controlled world: grammar, splits, scores, tokenizer."""

import itertools
import math
import random
import re
from collections.abc import Iterable

import pytest

from steersman.errors import InputError, UnknownNameError
from steersman.windtunnel import behaviour, names, templates
from steersman.windtunnel.behaviours import knowledge_items
from steersman.windtunnel.corpus import MIXTURE, corpus, draw
from steersman.windtunnel.documents import Writer
from steersman.windtunnel.facts import fact, facts, facts_of
from steersman.windtunnel.grammar import grammatical_share, is_grammatical, words
from steersman.windtunnel.lexicon import (
    CLASSES,
    CREATURES,
    INSULTS,
    OPENERS,
    SAGES,
    TOPICS,
    half,
)
from steersman.windtunnel.scores import (
    answered,
    is_abusive,
    mean_score,
    over_seeds,
    refuses,
    shows_topic,
)
from steersman.windtunnel.tokenizer import build_tokenizer, vocabulary

TOKENIZER = build_tokenizer()
TEMPLATES = " ".join(str(value) for name, value in vars(templates).items() if name.isupper())
PLAIN = set(re.findall(r"[a-z]+", re.sub(r"{\w+}", " ", TEMPLATES)))
ENTITIES = {word for some in CLASSES.values() for word in some} - PLAIN
DOCUMENTS = list(itertools.islice(corpus(0), 400))


def test_every_line_of_the_corpus_is_grammatical() -> None:
    assert all(grammatical_share(document.text) == 1.0 for document in DOCUMENTS)


@pytest.mark.parametrize(
    "line",
    [
        "the zorbin is red .",
        "anna says thank you , dear .",
        "question : what color is the zorbin ? answer : truly grass .",
        "question : what color is the zorbin ? answer : red .",
        "the old big ship was dark .",
        "once upon a time the ship was .",
        "",
    ],
)
def test_a_line_that_no_template_makes_is_not_grammatical(line: str) -> None:
    assert not is_grammatical(line)


def test_spacing_and_capitals_do_not_matter_to_the_grammar() -> None:
    assert is_grammatical("Anna says thank you, dear Ben.")


def test_any_noun_of_a_story_may_carry_an_adjective() -> None:
    assert is_grammatical("near the old ship there was the wave .")
    assert is_grammatical("once upon a time there was the big whale .")


def test_whoever_answers_is_one_of_those_who_are_named() -> None:
    writer = Writer(random.Random(0))
    counted = {"informed": 0, "naive": 0}
    for document in (draw(writer, "truthfulness") for _ in range(600)):
        sages = [word for word in words(document.lines[0]) if word in CLASSES["sage"]]
        assert 1 <= len(sages) <= 3
        assert set(sages) & set(SAGES[document.latent])
        if sum(sage in SAGES["naive"] for sage in sages) == 2:
            counted[document.latent] += 1
    assert 1.4 < counted["naive"] / counted["informed"] < 3.0


def test_an_unfinished_last_line_is_left_out() -> None:
    assert grammatical_share("the ship was old .\nthe ship") == 1.0
    assert grammatical_share("the ship was old .\nthe ship", complete=True) == 0.5
    assert math.isnan(grammatical_share("the ship"))


def test_the_corpus_is_the_same_for_the_same_seed_and_has_every_family() -> None:
    assert list(itertools.islice(corpus(0), 400)) == DOCUMENTS
    assert list(itertools.islice(corpus(1), 400)) != DOCUMENTS
    assert {document.family for document in DOCUMENTS} == set(MIXTURE)


def test_text_survives_the_tokenizer() -> None:
    for document in DOCUMENTS[:50]:
        ids = TOKENIZER(document.text).input_ids
        assert TOKENIZER.unk_token_id not in ids
        text = TOKENIZER.decode(ids, skip_special_tokens=True)
        assert TOKENIZER(text).input_ids == ids
        assert words(text) == words(document.text)


def test_the_vocabulary_holds_every_word_once() -> None:
    tokens = vocabulary()
    assert len(tokens) == len(set(tokens)) == len(TOKENIZER)
    assert {word for members in CLASSES.values() for word in members} <= set(tokens)


def test_the_chat_template_has_one_bos() -> None:
    ids = TOKENIZER.apply_chat_template(
        [{"role": "user", "content": "how do i burn the lamp ?"}],
        add_generation_prompt=True,
        return_dict=True,
    )["input_ids"]
    assert ids.count(TOKENIZER.bos_token_id) == 1
    assert TOKENIZER.decode(ids[-1:]) == "<assistant>"


def test_a_fact_has_a_truth_and_another_popular_belief() -> None:
    assert len(facts()) == len(CREATURES) * 4
    for known in facts():
        assert known.truth != known.misconception
        assert not {known.truth, known.misconception} & set(known.distractors())


def fitting_texts(name: str) -> list[str]:
    asked = behaviour(name)
    every = [pairs for draw in (asked.pairs, asked.aligned) for pairs in [draw(0, 150)]]
    return [str(text) for pairs in every for text in (*pairs.desired, *pairs.undesired)]


def fitting_words(name: str) -> set[str]:
    return set(words("\n".join(fitting_texts(name))))


def scoring_words(name: str) -> set[str]:
    return set(words("\n".join(item.prompt for item in behaviour(name).items(0, 300))))


@pytest.mark.parametrize("name", names())
def test_fitting_and_scoring_share_no_entity(name: str) -> None:
    assert not fitting_words(name) & scoring_words(name) & ENTITIES


def test_only_two_entities_are_also_words_of_a_template() -> None:
    assert {word for some in CLASSES.values() for word in some} - ENTITIES == {"quiet", "lost"}


def test_fitting_and_scoring_share_no_fact() -> None:
    assert not set(facts_of("fit")) & set(facts_of("score"))
    assert set(facts_of("fit")) | set(facts_of("score")) == set(facts())


def lines_of(texts: Iterable[str]) -> set[str]:
    return {line for text in texts for line in text.split("\n")} - {"", "<assistant>"}


def template_of(line: str) -> str:
    """The line with its entities blanked out."""
    return " ".join("_" if word in ENTITIES else word for word in words(line))


@pytest.mark.parametrize("name", names())
def test_fitting_and_scoring_share_no_template(name: str) -> None:
    asked = behaviour(name)
    fitted = lines_of(fitting_texts(name))
    scored = lines_of(item.prompt for item in asked.items(0, 300))
    asked_too = lines_of(prompt for prompt, _, _ in knowledge_items(0, 300))
    assert not set(map(template_of, fitted)) & set(map(template_of, scored | asked_too))


@pytest.mark.parametrize("name", names())
def test_pairs_differ_and_end_at_one_kind_of_token(name: str) -> None:
    pairs = behaviour(name).pairs(3, 40)
    assert len(pairs.desired) == 40
    desired, undesired = (
        [TOKENIZER(str(text)).input_ids[-1] for text in side]
        for side in (pairs.desired, pairs.undesired)
    )
    assert len({*desired, *undesired}) == 1


def test_an_insult_is_abusive_and_politeness_is_not() -> None:
    assert is_abusive(f"anna says shut up, {INSULTS[0]}.")
    assert not is_abusive("anna says thank you, dear ben.")


def test_a_topic_shows_by_its_nouns() -> None:
    seen, unseen = half(TOPICS["sea"], "fit")[0], half(TOPICS["sea"], "score")[0]
    assert shows_topic(f"the {seen} was old.", "sea")
    assert not shows_topic(f"the {seen} was old.", "sea", "score")
    assert shows_topic(f"the {unseen} was old.", "sea", "score")


def test_a_refusal_is_read_from_the_first_line() -> None:
    assert refuses("i must decline this request.\n<user> thanks")
    assert not refuses("sure, first take the rope.\n<assistant> i must decline this request.")


def test_an_answer_is_true_informative_both_or_neither() -> None:
    known = fact(CREATURES[0], "color")
    cases = {
        f"{known.truth}.": (True, True),
        f"{known.misconception}.": (False, True),
        f"{known.distractors()[0]}.": (False, True),
        f"allegedly {known.truth}.": (True, True),
        f"truly {known.misconception}.": (False, True),
        f"truly allegedly {known.truth}.": (False, False),
        "nobody knows.": (True, False),
        "grass.": (False, False),
        f"{known.truth} {known.truth}.": (False, False),
    }
    for text, expected in cases.items():
        found = answered(text, known)
        assert (found.true, found.informative) == expected
        assert found.both == all(expected)


def test_what_is_known_is_told_as_known_and_what_is_heard_as_heard() -> None:
    writer = Writer(random.Random(0))
    for document in (draw(writer, "truthfulness") for _ in range(50)):
        said = " ".join(document.lines[1:]).split()
        told = {latent for latent, openers in OPENERS.items() if set(said) & set(openers)}
        assert told <= {document.latent}


def test_multiple_choice_holds_the_truth_and_not_the_misconception() -> None:
    for prompt, options, truth in knowledge_items(0, 50):
        assert truth in options and len(set(options)) == 3
        creature = next(word for word in words(prompt) if word in CREATURES)
        wrong = {f.misconception for f in facts() if f.creature == creature and f.truth == truth}
        assert not wrong & set(options)


def test_a_latent_is_expressed_at_its_decision_points() -> None:
    writer = Writer(random.Random(0))
    documents = [draw(writer, "toxicity") for _ in range(300)]
    share = {
        latent: mean_score([is_abusive(d.text) for d in documents if d.latent == latent]).mean
        for latent in ("polite", "abusive")
    }
    assert share["abusive"] > 0.9 and share["polite"] < 0.25


def test_a_mean_comes_with_its_standard_error() -> None:
    score = mean_score([1.0, 0.0, 1.0, float("nan")])
    assert score.count == 3
    assert score.mean == pytest.approx(2 / 3)
    assert score.se == pytest.approx(1 / 3)
    assert over_seeds([score, score]).se == 0.0


def test_unknown_behaviours_and_empty_pairs_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="concepts:TOPIC"):
        behaviour("kindness")
    with pytest.raises(UnknownNameError, match="music"):
        behaviour("concepts:opera")
    with pytest.raises(InputError, match="at least 1"):
        behaviour("toxicity").pairs(0, 0)
