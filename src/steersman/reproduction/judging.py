"""A judge of which one score counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from steersman.evaluation.judges import Answer, Judge
from steersman.evaluation.judges.base import Judgement


@dataclass(frozen=True)
class OneScore:
    """A judge of which one score counts, so that the judges of two tasks can sit together.

    Args:
        of: the judge.
        score: which of its scores.
    """

    of: Judge
    score: str

    @property
    def name(self) -> str:
        """Of the judge and the score."""
        return f"{self.of.name}, {self.score}"

    @property
    def scores(self) -> tuple[str, ...]:
        """The one score."""
        return (self.score,)

    @property
    def needs_text(self) -> bool:
        """As the judge does."""
        return self.of.needs_text

    def prepare(self) -> None:
        """As the judge does."""
        self.of.prepare()

    def judge(self, answers: Sequence[Answer]) -> list[Judgement]:
        """What the judge says of the one score."""
        return [
            Judgement(
                {name: v for name, v in one.scores.items() if name == self.score}, one.failure
            )
            for one in self.of.judge(answers)
        ]

    def settings(self) -> dict[str, Any]:
        """Of the judge, and which score."""
        return {**self.of.settings(), "score": self.score}
