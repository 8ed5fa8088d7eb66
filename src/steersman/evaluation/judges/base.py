"""What a judge is: it gives a continuation its scores, or says why it cannot."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

from steersman.data import Example
from steersman.evaluation.items import Prompt


@dataclass(frozen=True)
class Answer:
    """A prompt and what the model made of it.

    Args:
        item: the prompt and what is known of it.
        text: the continuation alone.
    """

    item: Prompt
    text: str

    @property
    def question(self) -> str:
        """What was asked: a text as it is, of a conversation its last message."""
        return said(self.item.prompt)


@dataclass(frozen=True)
class Judgement:
    """What a judge says of one answer.

    Args:
        scores: by name; a score that does not apply to this prompt is left out.
        failure: why there are none, where the judge failed.
    """

    scores: Mapping[str, float] = field(default_factory=dict)
    failure: str | None = None


@runtime_checkable
class Judge(Protocol):
    """Judges answers; the same answers always alike, as far as it can.

    Attributes:
        name: what failures are counted under.
        scores: every score that it may give.
        needs_text: whether an empty answer is beyond it: that counts as a failure.
    """

    @property
    def name(self) -> str:
        """What failures are counted under."""

    @property
    def scores(self) -> tuple[str, ...]:
        """Every score that it may give."""

    @property
    def needs_text(self) -> bool:
        """Whether an empty answer is beyond it."""

    def prepare(self) -> None:
        """Load what it takes, so that what is missing is said before anything is written."""

    def judge(self, answers: Sequence[Answer]) -> list[Judgement]:
        """One judgement for each answer, in order."""

    def settings(self) -> dict[str, Any]:
        """Everything that decides its judgements, as plain data; no secrets."""


def said(prompt: Example) -> str:
    """A text as it is; of a conversation its last message."""
    return prompt if isinstance(prompt, str) else prompt[-1]["content"]


@dataclass(frozen=True)
class Ask:
    """What a judge of a general kind is to decide.

    Args:
        score: what the score is called.
        template: the question for a language model, to be answered by yes or no, with `{question}`,
            `{answer}` and whatever is known of the prompt.
        label: which label of a classifier says yes; None where there is no usual name.
        only: the group of prompts that it applies to; "" is all.
    """

    score: str
    template: str
    label: str | None = None
    only: str = ""

    def applies(self, answer: Answer) -> bool:
        """Whether this answer is to be judged at all."""
        return not self.only or answer.item.group == self.only

    def settings(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class Asking:
    """What judges that put one question to one model have in common.

    Args:
        ask: what is asked, and what the score is called.
        model: what the model is called.
    """

    ask: Ask
    model: str

    @property
    def name(self) -> str:
        """The model's name and the score's."""
        return f"{self.ask.score} by {self.model}"

    @property
    def scores(self) -> tuple[str, ...]:
        """The one score."""
        return (self.ask.score,)


def filled(template: str, answer: Answer) -> str:
    """A template with `{question}` and `{answer}` put in; other braces are left alone.

    Args:
        template: the text.
        answer: what is put in, of which the prompt's `known` may hold more names.
    """
    known = {name: value for name, value in answer.item.known.items() if isinstance(value, str)}
    parts = {"question": answer.question} | known | {"answer": answer.text.strip()}
    for name, value in parts.items():
        # A value may hold braces of its own: they are protected until all are filled in.
        template = template.replace("{" + name + "}", value.replace("{", "\x00"))
    return template.replace("\x00", "{")
