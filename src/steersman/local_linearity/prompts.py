"""The prompts of a measurement: distinct, tokenised, each with the domain it is from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from steersman.data.prompts import ONE_DOMAIN
from steersman.errors import InputError
from steersman.plant import Example, Tokens, locate, tokenize

Prompts = Sequence[Example] | Mapping[str, Sequence[Example]]
"""Texts or conversations; or several domains of them by name."""


@dataclass(frozen=True)
class Prepared:
    """Prompts as tokens.

    Args:
        examples: the prompts.
        tokens: of each prompt.
        domains: which domain each is from.
        last: the text of each prompt's last token.
    """

    examples: tuple[Example, ...]
    tokens: tuple[Tokens, ...]
    domains: tuple[str, ...]
    last: tuple[str, ...]

    def peers(self, labels: Sequence[object]) -> tuple[tuple[int, ...], ...]:
        """For each prompt the others that share its label."""
        everyone = range(len(self.tokens))
        return tuple(
            tuple(i for i in everyone if i != index and labels[i] == mine)
            for index, mine in enumerate(labels)
        )

    def partners(self) -> tuple[int, ...]:
        """For each prompt the next one that ends in another token; the next one where none does.

        The state of the same token before the first block is the same: no step leads between them.
        """
        count = len(self.tokens)
        ends = [one.ids[-1] for one in self.tokens]
        found = []
        for index in range(count):
            order = [(index + step) % count for step in range(1, count)]
            other = (i for i in order if ends[i] != ends[index])
            found.append(next(other, order[0]))
        return tuple(found)


def prepare(model: nn.Module, tokenizer: Any, prompts: Prompts) -> Prepared:
    """Tokenise the prompts, and refuse what would make the numbers meaningless.

    Args:
        model: the model, whose context limits them.
        tokenizer: its tokenizer.
        prompts: texts or conversations, perhaps by domain.

    Raises:
        InputError: fewer than two prompts, two that are the same, or one that cannot be used.
    """
    if isinstance(prompts, str):
        raise InputError("prompts is one text; give a list of prompts, or lists by domain.")
    by_domain = prompts if isinstance(prompts, Mapping) else {ONE_DOMAIN: prompts}
    for name, texts in by_domain.items():
        if isinstance(texts, str) or not len(texts):
            raise InputError(f"domain {name!r} holds no list of prompts: give it at least one.")
    examples = [one for texts in by_domain.values() for one in texts]
    if len(examples) < 2:
        raise InputError(
            f"{len(examples)} prompt was given; two at least are needed to compare their blocks."
        )
    tokens = tuple(tokenize(tokenizer, examples, max_length=locate(model).context))
    _require_distinct(tokens)
    return Prepared(
        examples=tuple(examples),
        tokens=tokens,
        domains=tuple(name for name, texts in by_domain.items() for _ in texts),
        last=tuple(str(tokenizer.decode(one.ids[-1:])) for one in tokens),
    )


def _require_distinct(tokens: Sequence[Tokens]) -> None:
    counted = Counter(one.ids for one in tokens)
    ids, count = counted.most_common(1)[0]
    if count > 1:
        same = [index for index, one in enumerate(tokens) if one.ids == ids]
        raise InputError(
            f"prompts {same} are the same ({tokens[same[0]].text[:60]!r}), so their Jacobians are "
            "alike for no reason: leave one of them."
        )
