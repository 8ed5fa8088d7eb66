"""Rules that choose tokens by what they are, and not by where they stand."""

from dataclasses import dataclass
from typing import Any

import torch

from steersman.engines.token_rules import Opened, TokenRule
from steersman.engines.window import Sequences, Window
from steersman.errors import InputError


@dataclass(frozen=True)
class TokenIds(TokenRule):
    """Tokens with one of some ids, in the prompt and behind it.

    Args:
        ids: token ids, in any order; kept sorted, each once.
    """

    ids: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse no ids at all."""
        if not self.ids:
            raise InputError(
                "there is no token id to match: give one or more, as in 'ids:198,271'."
            )
        object.__setattr__(self, "ids", tuple(sorted(set(self.ids))))

    @classmethod
    def containing(cls, tokenizer: Any, text: str) -> "TokenIds":
        """Every token of a vocabulary whose text contains this one.

        Args:
            tokenizer: tells what text each id stands for.
            text: such as a blank line, between the steps of a solution.

        Raises:
            InputError: no token does; the text is made of several.

        Source:
            SEAL (COLM 2025) steers the tokens that end a paragraph.
        """
        ids = sorted(set(tokenizer.get_vocab().values()))
        found = tuple(one for one in ids if text in tokenizer.decode([one]))
        if not found:
            raise InputError(
                f"no token of this vocabulary contains {text!r}: give a shorter text, or token ids."
            )
        return cls(found)

    @property
    def name(self) -> str:
        """The name of this rule."""
        return "ids:" + ",".join(map(str, self.ids))

    def open(self, window: Window, sequences: Sequences) -> Opened:
        """By their ids."""
        if window.ids is None:
            raise InputError(
                "tokens are chosen by their ids, and the model was called with inputs_embeds: "
                "call it with input_ids, or attach with tokens='all'"
            )
        wanted = torch.tensor(self.ids, device=window.ids.device)
        return window.valid & torch.isin(window.ids, wanted)


@dataclass(frozen=True)
class TokensWithText(TokenRule):
    """Tokens whose own text contains this one; a tokenizer turns them into ids.

    Args:
        text: what they contain.
    """

    text: str

    def __post_init__(self) -> None:
        """Refuse no text."""
        if not self.text:
            raise InputError("'text:' names no text: give one, or use tokens='all'.")

    @property
    def name(self) -> str:
        """The name of this rule."""
        return f"text:{self.text}"

    @property
    def lacks(self) -> str:
        """A tokenizer."""
        return (
            f"tokens={self.name!r} has to be read by a tokenizer: use "
            f"steering.at({self.name!r}, tokenizer).attach(...)."
        )

    def open(self, window: Window, sequences: Sequences) -> Opened:
        """Nothing is known without the tokenizer."""
        raise InputError(self.lacks)

    def with_tokenizer(self, tokenizer: Any) -> TokenIds:
        """The tokens as ids."""
        return TokenIds.containing(tokenizer, self.text)


@dataclass(frozen=True)
class MatchingTokens(TokenRule):
    """The kinds of token at which the examples of a steering were read."""

    @property
    def name(self) -> str:
        """The name of this rule."""
        return "matching"

    @property
    def lacks(self) -> str:
        """The ids."""
        return "tokens='matching' asks a fitted steering for its token ids; here there is none."

    def open(self, window: Window, sequences: Sequences) -> Opened:
        """Nothing is known without the ids."""
        raise InputError(self.lacks)

    def with_ids(self, ids: tuple[int, ...]) -> TokenIds:
        """Those ids."""
        if not ids:
            raise InputError(
                "this steering was read at too many kinds of token to match them; use "
                "tokens='last' or 'all'."
            )
        return TokenIds(ids)
