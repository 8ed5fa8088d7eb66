"""An exact check of grammar: a line is grammatical if some template of the world produces it."""

import re
from functools import cache

from steersman.windtunnel import templates as t
from steersman.windtunnel.lexicon import CLASSES, VALUES

_TOKEN = re.compile(r"<\w+>|\w+|[^\w\s]")


def words(text: str) -> list[str]:
    """Words and punctuation of a text, as the tokenizer cuts them."""
    return _TOKEN.findall(text.lower())


def is_grammatical(line: str) -> bool:
    """Whether one line of text is a sentence of the wind tunnel."""
    return _sentence().fullmatch(" ".join(words(line))) is not None


def grammatical_share(text: str, *, complete: bool = False) -> float:
    """Share of a text's lines that are grammatical; an unfinished last line is left out.

    Args:
        text: lines closed by newlines.
        complete: count the last line even where no newline closes it.

    Returns:
        A number between 0 and 1; NaN where there is no line to judge.
    """
    lines = text.split("\n")
    lines = [line for line in (lines if complete else lines[:-1]) if line.strip()]
    return sum(map(is_grammatical, lines)) / len(lines) if lines else float("nan")


@cache
def _sentence() -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{_pattern(s)})" for s in _sentences()))


def _pattern(template: str) -> str:
    parts = []
    for word in template.split():
        if word == "{noun}":
            parts.append(f"(?:{_any('adjective')} )?{_any('noun')}")
        elif word.startswith("{"):
            parts.append(_any(word[1:-1]))
        else:
            parts.append(re.escape(word))
    return " ".join(parts)


def _any(name: str) -> str:
    return f"(?:{'|'.join(CLASSES[name])})"


def _sentences() -> list[str]:
    lines = [t.TONE, t.TITLE, t.MANNER, t.EXAM, *t.SAGES, *t.SCENES, *t.STORY, *t.INTERLUDES]
    lines += [f"{{person}} says {said}" for said in (*t.POLITE, *t.ABUSIVE, *t.SMALL_TALK)]
    lines += [f"{opening} {first}" for opening in t.OPENINGS for first in t.FIRST]
    lines += [f"<user> {request}" for request in t.REQUESTS]
    lines += [f"<assistant> {reply}" for reply in (*t.REFUSALS, *t.ANSWERS)]
    for relation in VALUES:
        slot = f"{{{relation}}}"
        options = t.OPTIONS.format(a=slot, b=slot, c=slot)
        answers = (t.ANSWER.replace("{value}", slot), *t.ABSTENTIONS)
        for question in t.QUESTIONS[relation]:
            lines += [f"question : {question} answer : {answer}" for answer in answers]
            lines.append(f"question : {question} {options} answer : {slot} .")
    return lines
