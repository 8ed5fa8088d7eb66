"""How varied texts are: distinct n-grams and repetition, by exact definitions.

A token is a lower-cased word between white space: `text.lower().split()`. An n-gram is n tokens in
a row. What is undefined, because there is no n-gram, is NaN and never 0 or 1.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from math import nan

from steersman.errors import InputError

NGrams = list[tuple[str, ...]]


def tokens(text: str) -> list[str]:
    """The lower-cased words of a text."""
    return text.lower().split()


def ngrams(words: Sequence[str], n: int) -> NGrams:
    """Every n words in a row.

    Raises:
        InputError: n is below 1.
    """
    if n < 1:
        raise InputError(f"n is {n}; an n-gram has one word at least.")
    return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]


def distinct(text: str, n: int) -> float:
    """Share of a text's n-grams that are different: #unique / #all; NaN below n words.

    Args:
        text: one text.
        n: words of an n-gram.
    """
    return _unique_share(ngrams(tokens(text), n))


def corpus_distinct(texts: Iterable[str], n: int) -> float:
    """Distinct-n of all texts as one: #unique / #all over the texts put one behind the other.

    N-grams reach across the end of one text into the next, and the number falls with the size of
    the corpus: compare only equal numbers of texts of equal length.

    Args:
        texts: the corpus, in order.
        n: words of an n-gram.
    """
    return _unique_share(ngrams(list(chain.from_iterable(map(tokens, texts))), n))


def pooled_distinct(texts: Iterable[str], n: int) -> float:
    """Distinct-n of all texts together, no n-gram of two of them; NaN where none has n words.

    Args:
        texts: the corpus; falls with its size as `corpus_distinct` does.
        n: words of an n-gram.
    """
    return _unique_share([gram for text in texts for gram in ngrams(tokens(text), n)])


def mean_distinct(texts: Iterable[str], n: int) -> float:
    """Distinct-n of each text alone, averaged over the texts of n words or more; NaN without one.

    Args:
        texts: one or more.
        n: words of an n-gram.
    """
    return _mean([distinct(text, n) for text in texts])


def repetition(text: str, n: int = 4) -> float:
    """Share of a text's n-grams that stood there before: 1 - #unique / #all; NaN below n words.

    Args:
        text: one text.
        n: words of an n-gram.
    """
    return 1.0 - distinct(text, n)


def mean_repetition(texts: Iterable[str], n: int = 4) -> float:
    """Repetition of each text, averaged over the texts of n words or more; NaN without one.

    Args:
        texts: one or more.
        n: words of an n-gram.
    """
    return _mean([repetition(text, n) for text in texts])


def too_short(texts: Iterable[str], n: int) -> int:
    """How many texts have fewer than n words, so that a mean leaves them out."""
    return sum(len(tokens(text)) < n for text in texts)


def _unique_share(found: NGrams) -> float:
    return len(set(found)) / len(found) if found else nan


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else nan
