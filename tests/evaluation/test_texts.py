"""Distinct-n and repetition, counted by hand."""

from math import isnan

import pytest

from steersman.errors import InputError
from steersman.evaluation.metrics import (
    corpus_distinct,
    distinct,
    mean_distinct,
    mean_repetition,
    repetition,
    too_short,
)

SEA = "The sea and the SEA"


def test_distinct_counts_lower_cased_words():
    # the sea and the sea: 3 of 5 words, 3 of 4 pairs, 3 of 3 triples.
    assert [distinct(SEA, n) for n in (1, 2, 3)] == pytest.approx([3 / 5, 3 / 4, 1.0])


def test_the_corpus_is_one_text_and_the_mean_is_of_each():
    texts = [SEA, "and"]
    # Together: the sea and the sea and; 3 of 6 words, 3 of 5 pairs.
    assert corpus_distinct(texts, 1) == pytest.approx(3 / 6)
    assert corpus_distinct(texts, 2) == pytest.approx(3 / 5)
    assert mean_distinct(texts, 1) == pytest.approx((3 / 5 + 1) / 2)
    assert mean_distinct(texts, 2) == pytest.approx(3 / 4)


def test_repetition_is_the_share_that_stood_there_before():
    assert repetition("a b a b a b", 2) == pytest.approx(1 - 2 / 5)
    assert repetition("a b c d e") == 0
    assert mean_repetition(["a b a b a b", "a b c"], 2) == pytest.approx(0.3)


def test_a_text_without_an_ngram_is_counted_and_not_a_zero():
    texts = ["", "one", "one two"]
    assert isnan(distinct("one", 2)) and isnan(repetition("one", 2)) and isnan(distinct("", 1))
    assert mean_distinct(texts, 2) == 1
    assert too_short(texts, 2) == 2
    assert isnan(mean_distinct(["", ""], 1)) and isnan(corpus_distinct([], 1))


def test_no_words_are_no_ngram():
    with pytest.raises(InputError, match="n is 0"):
        distinct("a", 0)
