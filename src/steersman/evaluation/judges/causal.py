"""Any causal language model as a judge: a question about the text, answered by yes or no."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp
from typing import Any

from steersman.errors import InputError
from steersman.evaluation.judges.base import Answer, Ask, Asking, Judgement, filled
from steersman.evaluation.likelihood import likelihoods
from steersman.loading import load


class _Loaded(ABC):
    """A causal language model as a judge, loaded when it is first needed, and once."""

    model: str
    device_map: str | None

    @property
    @abstractmethod
    def _of(self) -> str:
        """What it judges, for messages."""

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        try:
            return load(self.model, device_map=self.device_map)
        except InputError as error:
            raise InputError(f"the judge of {self._of}: {error}") from error

    def prepare(self) -> None:
        """Load the model.

        Raises:
            InputError: it cannot be loaded.
        """
        _ = self._loaded


@dataclass(frozen=True)
class YesNo(_Loaded, Asking):
    """Whether a language model finds yes likelier than no after a question about the text.

        score = 1[ log p(yes | question) > log p(no | question) ]

    Args:
        ask: what is asked, and what the score is called.
        model: a name on the Hugging Face hub or a folder.
        yes: the answer that counts, with the white space before it.
        no: the other one.
        device_map: as in `sm.load`.
    """

    ask: Ask
    model: str
    yes: str = " yes"
    no: str = " no"
    device_map: str | None = None
    needs_text: bool = True

    def judge(self, answers: Sequence[Answer]) -> list[Judgement]:
        """Compare both answers; a question that does not fit into the model's context fails."""
        model, tokenizer = self._loaded
        return [self._one(model, tokenizer, answer) for answer in answers]

    def settings(self) -> dict[str, Any]:
        """Model, question and answers."""
        return {
            "kind": "causal",
            "model": self.model,
            "yes": self.yes,
            "no": self.no,
            "ask": self.ask.settings(),
        }

    @property
    def _of(self) -> str:
        return repr(self.ask.score)

    def _one(self, model: Any, tokenizer: Any, answer: Answer) -> Judgement:
        if not self.ask.applies(answer):
            return Judgement()
        question = filled(self.ask.template, answer)
        pairs = [(question, self.yes), (question, self.no)]
        try:
            yes, no = likelihoods(model, tokenizer, pairs, batch_size=2).found
        except InputError as error:
            return Judgement(failure=str(error))
        if yes.cut:
            return Judgement(failure="the question does not fit into the judge's context")
        return Judgement({self.ask.score: float(yes.total > no.total)})


@dataclass(frozen=True)
class Perplexity(_Loaded):
    """The perplexity of the continuation alone under another model, after the prompt.

        exp( - log p(text | prompt) / tokens )

    Args:
        model: a name on the Hugging Face hub or a folder.
        device_map: as in `sm.load`.
    """

    model: str
    device_map: str | None = None
    needs_text: bool = True

    @property
    def name(self) -> str:
        """The model's name."""
        return f"perplexity by {self.model}"

    @property
    def scores(self) -> tuple[str, ...]:
        """Log-perplexity is what is averaged well; perplexity is what is known."""
        return (f"perplexity by {self.model}", f"loss by {self.model}")

    def judge(self, answers: Sequence[Answer]) -> list[Judgement]:
        """Of each answer; of a conversation its last message stands before it."""
        model, tokenizer = self._loaded
        found = []
        for answer in answers:
            try:
                (one,) = likelihoods(model, tokenizer, [(answer.question, answer.text)]).found
            except InputError as error:
                found.append(Judgement(failure=str(error)))
                continue
            loss = -one.total / one.tokens
            found.append(
                Judgement(dict(zip(self.scores, (exp(min(loss, 700)), loss), strict=True)))
            )
        return found

    def settings(self) -> dict[str, Any]:
        """The model."""
        return {"kind": "perplexity", "model": self.model}

    @property
    def _of(self) -> str:
        return "the perplexity"
