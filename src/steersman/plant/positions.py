"""Where in an example the state is read: frozen rules that select tokens."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass

from steersman.errors import InputError, UnknownNameError
from steersman.plant.tokens import Tokens


class Positions(ABC):
    """Selects tokens of an example; a state read at several is averaged over them."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name `positions_named` makes this rule from."""

    def __str__(self) -> str:
        """The name."""
        return self.name

    @abstractmethod
    def select(self, tokens: Tokens) -> tuple[int, ...]:
        """Indices of the selected tokens, counted without padding, in order; none is possible.

        Args:
            tokens: one example.

        Raises:
            InputError: the rule needs what this example or its tokenizer does not have.
        """


@dataclass(frozen=True)
class LastToken(Positions):
    """The last token: where the model has read everything and is about to go on."""

    @property
    def name(self) -> str:
        """The name of this rule."""
        return "last"

    def select(self, tokens: Tokens) -> tuple[int, ...]:
        """The index of the last token."""
        return (len(tokens) - 1,)


@dataclass(frozen=True)
class AllTokens(Positions):
    """Every token but the special ones: the state at BOS is huge and says nothing of the text."""

    @property
    def name(self) -> str:
        """The name of this rule."""
        return "all"

    def select(self, tokens: Tokens) -> tuple[int, ...]:
        """The indices of all tokens that are not special."""
        return tuple(i for i, special in enumerate(tokens.special) if not special)


@dataclass(frozen=True)
class AfterMarker(Positions):
    """The token at which the last occurrence of a marker ends: where what follows is decided.

    Args:
        text: the marker, such as "said" or "Answer:".
    """

    text: str

    def __post_init__(self) -> None:
        """Refuse an empty marker."""
        if not self.text:
            raise InputError("a marker must not be empty: use LastToken() for the end of the text")

    @property
    def name(self) -> str:
        """The name of this rule."""
        return f"marker:{self.text}"

    def select(self, tokens: Tokens) -> tuple[int, ...]:
        """The index of the token that holds the marker's last character."""
        start = tokens.text.rfind(self.text)
        if start < 0:
            return ()
        end = start + len(self.text)
        return _overlapping(tokens, end - 1, end, self)[-1:]


@dataclass(frozen=True)
class Regex(Positions):
    """Every token that overlaps a match of a regular expression, or its first group if it has one.

    Args:
        pattern: a pattern for the standard `re` module.
    """

    pattern: str

    def __post_init__(self) -> None:
        """Refuse a pattern that does not compile."""
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise InputError(f"{self.pattern!r} is no regular expression: {error}") from error

    @property
    def name(self) -> str:
        """The name of this rule."""
        return f"regex:{self.pattern}"

    def select(self, tokens: Tokens) -> tuple[int, ...]:
        """The indices of all tokens any match touches."""
        compiled = re.compile(self.pattern)
        group = 1 if compiled.groups else 0
        spans = [match.span(group) for match in compiled.finditer(tokens.text)]
        chosen = {i for start, end in spans for i in _overlapping(tokens, start, end, self)}
        return tuple(sorted(chosen))


@dataclass(frozen=True)
class ResponseTokens(Positions):
    """The tokens of the response: the assistant's last answer, or the text after its prompt."""

    @property
    def name(self) -> str:
        """The name of this rule."""
        return "response"

    def select(self, tokens: Tokens) -> tuple[int, ...]:
        """The indices of the response's tokens that are not special."""
        if tokens.response_start is None:
            raise InputError(
                f"{tokens.text[:60]!r} has no response: end the conversation with the assistant's "
                "message, or give plain text together with its prompt"
            )
        chosen = _overlapping(tokens, tokens.response_start, len(tokens.text), self)
        return tuple(i for i in chosen if not tokens.special[i])


@dataclass(frozen=True)
class FirstResponseToken(Positions):
    """The first token of the response."""

    @property
    def name(self) -> str:
        """The name of this rule."""
        return "first-response"

    def select(self, tokens: Tokens) -> tuple[int, ...]:
        """The index of the response's first token."""
        return ResponseTokens().select(tokens)[:1]


@dataclass(frozen=True)
class WrittenTokens(Positions):
    """What was written: the response, or all of an example that does not tell one from its prompt.

    Special tokens are left out.
    """

    @property
    def name(self) -> str:
        """The name of this rule."""
        return "written"

    def select(self, tokens: Tokens) -> tuple[int, ...]:
        """The indices of these tokens."""
        rule = AllTokens() if tokens.response_start is None else ResponseTokens()
        return rule.select(tokens)


_PLAIN: dict[str, Positions] = {
    rule.name: rule
    for rule in (
        LastToken(),
        AllTokens(),
        ResponseTokens(),
        FirstResponseToken(),
        WrittenTokens(),
    )
}
_WITH_TEXT: dict[str, type[AfterMarker] | type[Regex]] = {"marker": AfterMarker, "regex": Regex}


def positions_named(name: str) -> Positions:
    """The rule of that name, as files and the command line write it.

    Args:
        name: "last", "all", "response", "first-response", "written", "marker:<text>" or
            "regex:<pattern>".

    Returns:
        The rule.

    Raises:
        UnknownNameError: there is no such rule.
        InputError: the marker or the pattern cannot be used.
    """
    kind, colon, text = name.partition(":")
    if colon and kind in _WITH_TEXT:
        return _WITH_TEXT[kind](text)
    if name in _PLAIN:
        return _PLAIN[name]
    known = [*_PLAIN, *(f"{kind}:..." for kind in _WITH_TEXT)]
    raise UnknownNameError(f"no position rule is called {name!r}; there are {', '.join(known)}")


def _overlapping(tokens: Tokens, start: int, end: int, rule: Positions) -> tuple[int, ...]:
    if tokens.spans is None:
        raise InputError(
            f"the position rule {rule.name!r} needs to know which characters a token stands for, "
            "and this tokenizer does not tell: load the fast one, or use 'last' or 'all'"
        )
    if start >= end:
        return ()
    return tuple(i for i, (a, b) in enumerate(tokens.spans) if a < end and b > start and a < b)
