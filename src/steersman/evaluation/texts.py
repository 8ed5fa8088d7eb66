"""What can be said of texts by counting words: how varied they are, and how repetitive."""

from collections.abc import Sequence


def words_of(text: str) -> list[str]:
    """Lower-case words, cut at white space."""
    return text.lower().split()


def distinct(texts: Sequence[str], n: int) -> float:
    """Share of different n-grams among all of the texts'; n-grams do not cross texts.

        different n-grams / n-grams

    Args:
        texts: continuations without their prompts.
        n: how many words an n-gram has, at least 1.

    Returns:
        A number between 0 and 1; NaN where no text has n words.
    """
    grams = [gram for text in texts for gram in _grams(words_of(text), n)]
    return len(set(grams)) / len(grams) if grams else float("nan")


def repetition(text: str, n: int = 4) -> float:
    """Share of a text's n-grams that occurred in it before; NaN where it has fewer than n words."""
    return 1.0 - distinct([text], n)


def _grams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
