"""Ground truth: a function that knows, for the wind tunnel's closed world."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from steersman.evaluation.judges.base import Answer, Judgement


@dataclass(frozen=True)
class Exact:
    """A rule that scores any text, the empty one too.

    Args:
        name: of the rule.
        scores: what it gives.
        rule: from a prompt and a text to scores; NaN where one does not apply.
    """

    name: str
    scores: tuple[str, ...]
    rule: Callable[[Answer], dict[str, float]]
    needs_text: bool = False

    def prepare(self) -> None:
        """Nothing is needed."""

    def judge(self, answers: Sequence[Answer]) -> list[Judgement]:
        """Scores by the rule."""
        return [Judgement(_applying(self.rule(answer))) for answer in answers]

    def settings(self) -> dict[str, Any]:
        """The rule's name."""
        return {"kind": "exact", "name": self.name}


def _applying(scores: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in scores.items() if not isnan(value)}
