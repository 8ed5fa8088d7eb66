"""Conditions on a prompt: a vector that its states resemble, or several combined by a rule."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from steersman.errors import InputError, MismatchError
from steersman.gating.similarity import SIMILARITIES, SimilarityName
from steersman.gating.similarity import similarity as similarity_of

Side = Literal["above", "below"]
Pool = Literal["mean", "last"]


class Reading(NamedTuple):
    """What a condition has to know of a prompt: one state, of all its tokens or of its last.

    Attributes:
        state: `t` of `x_t`; `x_t` is the input of block `t`, one more than the last its output.
        pool: "mean" over the prompt's tokens, or the "last" of them.
        left_out: token ids that the mean leaves out, such as marks that stand for no text.
    """

    state: int
    pool: Pool
    left_out: tuple[int, ...]


class Found(NamedTuple):
    """How well a condition tells examples apart; F1 of those that are to fire.

    Attributes:
        f1: on the examples it was chosen on.
        held_out_f1: on the others.
        examples: how many were to fire, and how many not, of those it was chosen on.
        held_out: likewise of the others.
    """

    f1: float
    held_out_f1: float
    examples: tuple[int, int]
    held_out: tuple[int, int]


class PromptCondition(ABC):
    """A statement about a prompt that holds or not, decided once, for each row of a batch.

    Conditions combine: `one & other`, `one | other`, `~one`.
    """

    @property
    @abstractmethod
    def leaves(self) -> tuple["Resembles", ...]:
        """The single conditions that it is made of, in order."""

    @abstractmethod
    def fires(self, states: Mapping[Reading, Float[Tensor, "rows n"]]) -> Bool[Tensor, " rows"]:
        """Whether it holds, row by row.

        Args:
            states: of the unsteered prompt, for every one of `readings`.
        """

    @property
    @abstractmethod
    def sentence(self) -> str:
        """In words."""

    @property
    def readings(self) -> frozenset[Reading]:
        """What it has to know."""
        return frozenset(leaf.reading for leaf in self.leaves)

    def require(self, blocks: int, n: int) -> None:
        """Refuse a model that it was not made for.

        Raises:
            MismatchError: it has no such state, or another width.
        """
        for leaf in self.leaves:
            if leaf.state > blocks or len(leaf.vector) != n:
                raise MismatchError(
                    f"the condition reads state {leaf.state} of width {len(leaf.vector)}; this "
                    f"model has states 0 .. {blocks} of width {n}. Fit a condition on it."
                )

    def __and__(self, other: "PromptCondition") -> "AllOf":
        """Both."""
        return AllOf((self, other))

    def __or__(self, other: "PromptCondition") -> "AnyOf":
        """Either."""
        return AnyOf((self, other))

    def __invert__(self) -> "Not":
        """Not this."""
        return Not(self)


@dataclass(frozen=True, eq=False)
class Resembles(PromptCondition):
    """A state of the prompt resembles a vector more than a threshold says, or less.

        "above":  sim(x_t, c) > threshold           "below":  sim(x_t, c) < threshold

    The published code has the names the other way round: its "larger" fires where the *threshold*
    is larger than the similarity, which is "below" here.

    Args:
        vector: `c`, `(n,)`.
        state: `t`.
        threshold: of the similarity.
        side: on which side of the threshold it fires.
        similarity: "tanh" as published, or "cosine".
        pool: the mean over the prompt's tokens, or its last one.
        left_out: token ids that the mean leaves out.
        name: what the condition is called.
        found: how well it told examples apart, where it was fitted.

    Raises:
        InputError: an unknown choice, a state below 0, or numbers that are not finite.

    Source:
        CAST (arXiv 2409.05907), https://github.com/IBM/activation-steering.
    """

    vector: Float[Tensor, " n"]
    state: int
    threshold: float
    side: Side = "above"
    similarity: SimilarityName = "tanh"
    pool: Pool = "mean"
    left_out: tuple[int, ...] = ()
    name: str = "condition"
    found: Found | None = None

    def __post_init__(self) -> None:
        """Check every choice."""
        for what, allowed in (
            ("side", get_args(Side)),
            ("similarity", tuple(SIMILARITIES)),
            ("pool", get_args(Pool)),
        ):
            if getattr(self, what) not in allowed:
                raise InputError(f"{what} is {getattr(self, what)!r}; choose one of {allowed}.")
        if self.state < 0:
            raise InputError(f"state is {self.state}; the first one is 0, the input of block 0.")
        if not isfinite(self.threshold) or not bool(self.vector.isfinite().all()):
            raise InputError("the threshold and the vector of a condition must be finite.")

    def with_found(self, found: Found) -> "Resembles":
        """The same condition with how well it does."""
        return replace(self, found=found)

    @property
    def reading(self) -> Reading:
        """What it has to know."""
        return Reading(self.state, self.pool, self.left_out if self.pool == "mean" else ())

    @property
    def leaves(self) -> tuple["Resembles", ...]:
        """Itself."""
        return (self,)

    @property
    def sentence(self) -> str:
        """State, side and threshold."""
        read = "mean over the prompt" if self.pool == "mean" else "prompt's last token"
        return (
            f"{self.name}: similarity ({self.similarity}) of state {self.state}, {read}, "
            f"{self.side} {self.threshold:.4g}"
        )

    def values(self, states: Mapping[Reading, Float[Tensor, "rows n"]]) -> Float[Tensor, " rows"]:
        """The similarities."""
        return similarity_of(states[self.reading], self.vector, self.similarity)

    def fires(self, states: Mapping[Reading, Float[Tensor, "rows n"]]) -> Bool[Tensor, " rows"]:
        """On which side of the threshold each row is."""
        values = self.values(states)
        return values > self.threshold if self.side == "above" else values < self.threshold


@dataclass(frozen=True, eq=False)
class _Several(PromptCondition):
    parts: tuple[PromptCondition, ...]

    def __post_init__(self) -> None:
        """Refuse nothing at all."""
        if not self.parts:
            raise InputError("there is no condition to combine: give one or more.")

    @property
    def leaves(self) -> tuple[Resembles, ...]:
        """Those of all parts."""
        return tuple(leaf for part in self.parts for leaf in part.leaves)

    def _each(self, states: Mapping[Reading, Tensor]) -> Bool[Tensor, "parts rows"]:
        return torch.stack([part.fires(states) for part in self.parts])

    def _listed(self, word: str) -> str:
        return f" {word} ".join(f"({part.sentence})" for part in self.parts)


@dataclass(frozen=True, eq=False)
class AllOf(_Several):
    """Every part holds.

    Args:
        parts: one condition or more.
    """

    def fires(self, states: Mapping[Reading, Float[Tensor, "rows n"]]) -> Bool[Tensor, " rows"]:
        """Where all do."""
        return self._each(states).all(dim=0)

    @property
    def sentence(self) -> str:
        """With "and"."""
        return self._listed("and")


@dataclass(frozen=True, eq=False)
class AnyOf(_Several):
    """One part or more holds.

    Args:
        parts: one condition or more.
    """

    def fires(self, states: Mapping[Reading, Float[Tensor, "rows n"]]) -> Bool[Tensor, " rows"]:
        """Where any does."""
        return self._each(states).any(dim=0)

    @property
    def sentence(self) -> str:
        """With "or"."""
        return self._listed("or")


@dataclass(frozen=True, eq=False)
class Not(PromptCondition):
    """The part does not hold.

    Args:
        part: a condition.
    """

    part: PromptCondition

    @property
    def leaves(self) -> tuple[Resembles, ...]:
        """Those of the part."""
        return self.part.leaves

    def fires(self, states: Mapping[Reading, Float[Tensor, "rows n"]]) -> Bool[Tensor, " rows"]:
        """Where the part does not."""
        return ~self.part.fires(states)

    @property
    def sentence(self) -> str:
        """With "not"."""
        return f"not ({self.part.sentence})"
