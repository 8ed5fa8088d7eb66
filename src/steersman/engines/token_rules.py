"""At which tokens a steering acts: frozen rules, each with a name that it is made from again.

A rule decides for every token of a forward pass by what the pass and its prompt show, so that the
same tokens are chosen with a cache, without one, in chunks, and whatever the padding.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from steersman.engines.window import Sequences, Window
from steersman.errors import InputError

Opened = Bool[Tensor, "batch length"]


class TokenRule(ABC):
    """Chooses tokens of a forward pass; a new rule is one such class and a line in the table."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name `tokens_named` makes this rule from."""

    @property
    def of_prompt(self) -> bool:
        """Whether it asks where the prompt ends."""
        return False

    @property
    def lacks(self) -> str:
        """What has to be done before it can be used; empty where nothing has."""
        return ""

    def __str__(self) -> str:
        """The name."""
        return self.name

    def __and__(self, other: "TokenRule") -> "TokenRule":
        """Tokens that both rules choose."""
        return Both(self, other)

    @abstractmethod
    def open(self, window: Window, sequences: Sequences) -> Opened:
        """The tokens of a pass that are chosen; padding never is.

        Args:
            window: the pass.
            sequences: where its prompts end.

        Raises:
            InputError: the rule needs what this pass does not show.
        """

    def with_ids(self, ids: tuple[int, ...]) -> "TokenRule":
        """The same rule where the token ids are known at which the examples were read.

        Raises:
            InputError: it asks for them and there are none.
        """
        return self

    def with_tokenizer(self, tokenizer: Any) -> "TokenRule":
        """The same rule with texts turned into token ids.

        Raises:
            InputError: no token holds the text.
        """
        return self


@dataclass(frozen=True)
class EveryToken(TokenRule):
    """Every token."""

    @property
    def name(self) -> str:
        """The name of this rule."""
        return "all"

    def open(self, window: Window, sequences: Sequences) -> Opened:
        """All that is no padding."""
        return window.valid


@dataclass(frozen=True)
class FromPromptEnd(TokenRule):
    """The prompt's last token, which decides the first new one, and every generated token."""

    @property
    def name(self) -> str:
        """The name of this rule."""
        return "last"

    @property
    def of_prompt(self) -> bool:
        """It does."""
        return True

    def open(self, window: Window, sequences: Sequences) -> Opened:
        """From each row's last prompt token on."""
        return sequences.from_start(window)


@dataclass(frozen=True)
class GeneratedTokens(TokenRule):
    """Generated tokens alone: the first new token is still the bare model's."""

    @property
    def name(self) -> str:
        """The name of this rule."""
        return "generated"

    @property
    def of_prompt(self) -> bool:
        """It does."""
        return True

    def open(self, window: Window, sequences: Sequences) -> Opened:
        """Behind each row's last prompt token."""
        return window.valid & ~sequences.in_prompt(window)


@dataclass(frozen=True)
class PromptTokens(TokenRule):
    """Tokens of the prompt alone, all of them or its ends; special tokens count like others.

    Args:
        first: so many at the front.
        last: so many at the end, together with those at the front. Neither is the whole prompt.

    Source:
        PrOSV (arXiv 2605.05983): the first K and the last M tokens of the prompt.
    """

    first: int = 0
    last: int = 0

    def __post_init__(self) -> None:
        """Refuse counts below zero."""
        if self.first < 0 or self.last < 0:
            raise InputError(f"{self.first} first and {self.last} last tokens: give 1 or more.")

    @property
    def name(self) -> str:
        """The name of this rule."""
        parts = (("first", self.first), ("last", self.last))
        ends = "+".join(f"{end}:{count}" for end, count in parts if count)
        return f"prompt:{ends}" if ends else "prompt"

    @property
    def of_prompt(self) -> bool:
        """It does."""
        return True

    def open(self, window: Window, sequences: Sequences) -> Opened:
        """By how many real tokens of the prompt lie on either side."""
        inside = sequences.in_prompt(window)
        if not (self.first or self.last):
            return inside
        opened = torch.zeros_like(inside)
        if self.first:
            rank = window.before[:, None] + inside.cumsum(dim=1)
            opened |= rank <= self.first
        if self.last:
            rank = sequences.to_come(window)[:, None] + inside.flip(1).cumsum(dim=1).flip(1)
            opened |= rank <= self.last
        return inside & opened


@dataclass(frozen=True)
class Both(TokenRule):
    """Tokens that two rules choose both.

    Args:
        one: a rule.
        other: another; the one that ends in a text, where either does.
    """

    one: TokenRule
    other: TokenRule

    def __post_init__(self) -> None:
        """A text may hold anything, so nothing follows it in a name."""
        one, other = self.one, self.other
        if "text:" in one.name and "text:" in other.name:
            raise InputError("only one of several rules for tokens can be a text: give ids.")
        if "text:" in one.name:
            object.__setattr__(self, "one", other)
            object.__setattr__(self, "other", one)

    @property
    def of_prompt(self) -> bool:
        """Whether either asks where the prompt ends."""
        return self.one.of_prompt or self.other.of_prompt

    @property
    def name(self) -> str:
        """The name of this rule."""
        return f"{self.one.name}&{self.other.name}"

    @property
    def lacks(self) -> str:
        """What either lacks."""
        return self.one.lacks or self.other.lacks

    def open(self, window: Window, sequences: Sequences) -> Opened:
        """Where both are open."""
        return self.one.open(window, sequences) & self.other.open(window, sequences)

    def with_ids(self, ids: tuple[int, ...]) -> "Both":
        """Both with those ids."""
        return Both(self.one.with_ids(ids), self.other.with_ids(ids))

    def with_tokenizer(self, tokenizer: Any) -> "Both":
        """Both as read by a tokenizer."""
        return Both(self.one.with_tokenizer(tokenizer), self.other.with_tokenizer(tokenizer))
