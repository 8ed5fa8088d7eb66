"""What is asked of a model: prompts to go on from, and questions with their choices."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from steersman.data import Example


@dataclass(frozen=True)
class Prompt:
    """A prompt that the model goes on from, for judges to judge.

    Args:
        id: names it in the whole data set; the same prompt always has the same.
        prompt: a text or a conversation.
        known: what judges may have to know, by name.
        group: a subject or a category, "" where there is none.
    """

    id: str
    prompt: Example
    known: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""


@dataclass(frozen=True)
class Question:
    """A context and the choices that may follow it; the model says how likely each is.

        accuracy   1[ argmax_c log p(c | context)  is right ]
        mass       sum_right p(c | context) / sum_all p(c | context)

    Args:
        id: names it in the whole data set.
        context: what stands before every choice.
        choices: what may follow, white space at the joint included.
        right: which of them are right, at least one.
        score: what the score is called.
        mass: whether the score is the mass of the right ones instead of the accuracy.
        group: a subject or a category, "" where there is none.
    """

    id: str
    context: str
    choices: tuple[str, ...]
    right: tuple[bool, ...]
    score: str
    mass: bool = False
    group: str = ""


Item = Prompt | Question
"""One item of a task; all items of a task are of one kind."""
