"""What a calibration aims at: a side effect that can be afforded, or a score to be reached."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar

import torch

from steersman.calibration.bisection import Bracket, Gap, largest, smallest
from steersman.calibration.effects import divergence, perplexity_ratio, relative_effort
from steersman.calibration.writing import Written
from steersman.data import Example
from steersman.errors import InputError
from steersman.estimates import Estimate, mean_over

Judge = Callable[[Sequence[Example], Sequence[str]], Sequence[Any]]
"""Prompts, and what followed each of them -> one number each."""


class Aim(ABC):
    """Something to measure at a strength, and what it should be."""

    unit: ClassVar[str] = ""
    """Of the value; empty where it is a plain number."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What is measured."""

    @property
    @abstractmethod
    def level(self) -> float:
        """The value that is asked for."""

    @abstractmethod
    def estimate(self, seen: Written, plain: Written) -> Estimate:
        """What was measured, with its standard error over prompts.

        Args:
            seen: what was written at a strength.
            plain: what the bare model wrote after the same prompts.
        """

    @abstractmethod
    def gap(self, value: float) -> float:
        """How far a value is from what is asked for; zero or below where it is met."""

    @abstractmethod
    def search(self, gap: Gap, maximum: float, *, tolerance: float, evaluations: int) -> Bracket:
        """Which strength is wanted: the largest that meets the aim, or the smallest.

        Args:
            gap: at a strength.
            maximum: see `bisection`, and so the others.
            tolerance: see there.
            evaluations: see there.
        """


@dataclass(frozen=True)
class Budget(Aim):
    """A side effect that grows with the strength, and how much of it can be afforded.

    Subclass it for one of your own: `name` and `estimate` are all it needs.

    Args:
        limit: the largest value that is still good.

    Raises:
        InputError: the limit is not finite, or leaves no room for any steering.
    """

    limit: float
    unsteered: ClassVar[float] = 0.0
    """The side effect of no steering at all."""

    def __post_init__(self) -> None:
        """Check the limit."""
        if not (isfinite(self.limit) and self.limit > self.unsteered):
            raise InputError(
                f"{type(self).__name__}({self.limit}) can never be kept: give a finite limit above "
                f"{self.unsteered:g}."
            )

    @property
    def level(self) -> float:
        """The limit."""
        return self.limit

    def gap(self, value: float) -> float:
        """How far beyond the limit."""
        return value - self.limit

    def search(self, gap: Gap, maximum: float, *, tolerance: float, evaluations: int) -> Bracket:
        """The largest strength within the limit."""
        return largest(gap, maximum, tolerance=tolerance, evaluations=evaluations)

    def __str__(self) -> str:
        """The limit in words."""
        return f"at most {self.limit:g}"


class KL(Budget):
    """KL divergence from the unsteered model, nats per token along the steered text.

    By Pinsker's inequality at most `sqrt(KL / 2)` of the tokens need be drawn otherwise than the
    unsteered model would: 7 % at 0.01, 16 % at 0.05, 22 % at 0.1. See `divergence`.
    """

    name = "KL"
    unit = "nats per token"

    def estimate(self, seen: Written, plain: Written) -> Estimate:
        """`divergence` of what was written."""
        return divergence(seen)


class Perplexity(Budget):
    """Perplexity of the steered text under the unsteered model, relative to unsteered text.

    1.1 is ten percent more surprise per token. A steering can also make text more predictable, and
    then never uses up such a budget; `KL` sees both. See `perplexity_ratio`.
    """

    name = "perplexity"
    unit = "times unsteered"
    unsteered = 1.0

    def estimate(self, seen: Written, plain: Written) -> Estimate:
        """`perplexity_ratio` of what was written."""
        return perplexity_ratio(seen, plain)


class Effort(Budget):
    """Length of what is added, relative to the length of the state it is added to.

    0.1 is a push of a tenth of the state wherever one is given: how far the model is taken from
    where it was linearised, whatever that does to the text. See `relative_effort`.
    """

    name = "effort"
    unit = "|u| / |x|"

    def estimate(self, seen: Written, plain: Written) -> Estimate:
        """`relative_effort` of what was given."""
        return relative_effort(seen, plain)


@dataclass(frozen=True)
class Score(Aim):
    """The mean score of the texts, and what it should reach.

    Args:
        judge: called with all prompts and the texts that followed them, prompts left out; returns
            one finite number a prompt. The same texts have to get the same numbers.
        at_least: a score to rise to.
        at_most: a score to fall to, in its place.

    Raises:
        InputError: both or none, or one that is not finite.
    """

    judge: Judge
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        """Check that there is one finite level."""
        if (self.at_least is None) == (self.at_most is None):
            raise InputError("give a Score either at_least or at_most.")
        if not isfinite(self.level):
            raise InputError(f"the score to reach is {self.level}; it must be finite.")

    @property
    def name(self) -> str:
        """That of the judge."""
        return str(getattr(self.judge, "__name__", type(self.judge).__name__)).strip("<>")

    @property
    def level(self) -> float:
        """The score to reach."""
        return next(level for level in (self.at_least, self.at_most) if level is not None)

    def estimate(self, seen: Written, plain: Written) -> Estimate:
        """The mean of the judge's scores.

        Raises:
            InputError: the judge did not return one finite number a prompt.
        """
        found = list(self.judge(seen.prompts, seen.texts))
        if len(found) != len(seen.prompts):
            raise InputError(
                f"the judge {self.name} returned {len(found)} scores for {len(seen.prompts)} "
                "prompts; it must return one for each."
            )
        scores = torch.tensor([_number(score, self.name) for score in found], dtype=torch.float64)
        wrong = (~scores.isfinite()).nonzero().flatten().tolist()
        if wrong:
            raise InputError(
                f"the judge {self.name} returned {float(scores[wrong[0]])} for prompt {wrong[0]} "
                f"and {len(wrong) - 1} others: score every text, or leave out prompts that have no "
                "score."
            )
        return mean_over(scores)

    def gap(self, value: float) -> float:
        """How far short of the score to reach."""
        return value - self.level if self.at_least is None else self.level - value

    def search(self, gap: Gap, maximum: float, *, tolerance: float, evaluations: int) -> Bracket:
        """The smallest strength that reaches the score."""
        return smallest(gap, maximum, tolerance=tolerance, evaluations=evaluations)

    def __str__(self) -> str:
        """The level in words."""
        return f"at {'most' if self.at_least is None else 'least'} {self.level:g}"


def _number(score: Any, judge: str) -> float:
    try:
        return float(score)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the judge {judge} returned {score!r}, which is no number; it must return one number "
            "for each prompt."
        ) from error
