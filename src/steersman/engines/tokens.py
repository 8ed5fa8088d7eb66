"""The names of the rules for tokens, as files, `attach` and the command line write them."""

from collections.abc import Callable
from typing import TypeAlias

from steersman.engines.token_ids import MatchingTokens, TokenIds, TokensWithText
from steersman.engines.token_rules import (
    Both,
    EveryToken,
    FromPromptEnd,
    GeneratedTokens,
    PromptTokens,
    TokenRule,
)
from steersman.errors import InputError

Tokens: TypeAlias = str | TokenRule
"""A rule for tokens, or its name."""

_PLAIN: dict[str, TokenRule] = {
    rule.name: rule
    for rule in (
        FromPromptEnd(),
        EveryToken(),
        MatchingTokens(),
        GeneratedTokens(),
        PromptTokens(),
    )
}


def _ends(text: str) -> PromptTokens:
    """`first:K`, `last:M`, or both with a `+` between."""
    counts: dict[str, int] = {}
    for part in text.split("+"):
        end, _, count = part.partition(":")
        if end not in ("first", "last") or end in counts or not count.isdecimal() or count == "0":
            raise ValueError(part)
        counts[end] = int(count)
    return PromptTokens(**counts)


def _ids(text: str) -> TokenIds:
    return TokenIds(tuple(int(one) for one in text.split(",") if one.strip()))


_WITH_TEXT: dict[str, tuple[Callable[[str], TokenRule], str]] = {
    "prompt": (_ends, "prompt:first:K, prompt:last:M, prompt:first:K+last:M"),
    "ids": (_ids, "ids:ID,ID,..."),
    "text": (TokensWithText, "text:TEXT"),
}


def tokens_named(name: Tokens) -> TokenRule:
    """The rule of that name, as files and the command line write it.

    Args:
        name: "last", "all", "matching", "generated", "prompt", "prompt:first:K", "prompt:last:M",
            "prompt:first:K+last:M", "ids:ID,ID", "text:TEXT", or several of them with "&" between;
            a rule is returned as it is.

    Raises:
        InputError: there is no such rule.
    """
    if isinstance(name, TokenRule):
        return name
    if name in _PLAIN:
        return _PLAIN[name]
    kind, _, text = name.partition(":")
    if kind != "text" and "&" in name:
        one, _, other = name.partition("&")
        return Both(tokens_named(one), tokens_named(other))
    make, form = _WITH_TEXT.get(kind, (None, ""))
    known = [*_PLAIN, *(form for _, form in _WITH_TEXT.values())]
    if make is None:
        raise InputError(
            f"tokens is {name!r}; choose one of {', '.join(known)}, or several with & between."
        )
    try:
        return make(text)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"tokens is {name!r}; write it as {form}.") from error
