"""Read the states of examples: one of each example, or of every token of aligned pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from steersman.data import AlignedPairs, ContrastivePairs
from steersman.errors import InputError
from steersman.methods import AlignedStates, AtSite, Sides
from steersman.plant import (
    Positions,
    Site,
    StateCache,
    Tokens,
    capture_states,
    capture_tokens,
    capture_with_sites,
    find_sites,
    positions_named,
    tokenize,
)
from steersman.plant.tokens import shared_end

MOST_DECISION_TOKENS = 8


@dataclass(frozen=True)
class Examples:
    """Examples of either kind, and where they are read.

    Args:
        pairs: the examples, written out.
        positions: which tokens are read.
        openings: of both sides, what stands before the response, where that is said.
        contexts: which two contexts each pair has, where that is said.
        continuations: which continuation each pair has, where that is said.
    """

    pairs: ContrastivePairs
    positions: Positions
    openings: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    contexts: tuple[int, ...] | None = None
    continuations: tuple[int, ...] | None = None

    @classmethod
    def of(
        cls, pairs: ContrastivePairs | AlignedPairs, positions: str | Positions | None = None
    ) -> "Examples":
        """Examples as a user has them.

        Args:
            pairs: contrastive or aligned.
            positions: a rule or its name; None is the last token, or the continuation of aligned
                pairs.

        Raises:
            InputError: a rule that cannot be used.
            UnknownNameError: no such rule.
        """
        usual = pairs.positions if isinstance(pairs, AlignedPairs) else "last"
        asked = usual if positions is None else positions
        rule = positions_named(asked) if isinstance(asked, str) else asked
        if not isinstance(pairs, AlignedPairs):
            return cls(pairs, rule)
        labels = (pairs.context_labels, pairs.continuation_labels)
        return cls(pairs.contrastive, rule, pairs.openings, *labels)

    def sides(self) -> list[tuple[Sequence[Any], tuple[str, ...] | None]]:
        """The examples of each side with their openings, the desired ones first."""
        openings = self.openings or (None, None)
        return list(zip((self.pairs.desired, self.pairs.undesired), openings, strict=True))

    def tokens(self, tokenizer: Any) -> list[list[Tokens]]:
        """The examples of each side as tokens.

        Raises:
            InputError: an example cannot be used.
        """
        return [tokenize(tokenizer, side, prompts=openings) for side, openings in self.sides()]


def read_states(
    model: nn.Module,
    tokenizer: Any,
    examples: Examples,
    *,
    batch_size: int = 16,
    progress: bool = True,
    cache: StateCache | None = None,
) -> Sides:
    """States of the desired and the undesired examples; several tokens of one are averaged.

    Args:
        model: the loaded model.
        tokenizer: its tokenizer.
        examples: what to read, and where.
        batch_size: examples at a time.
        progress: show how far it is.
        cache: where states may be from before, and are kept; None runs the model.

    Raises:
        InputError: an example longer than the context, or without a token to read.
        NumericalError: states that are not finite.
    """
    capture = capture_states if cache is None else cache.states
    desired, undesired = (
        capture(
            model,
            tokenizer,
            side,
            examples.positions,
            batch_size=batch_size,
            prompts=openings,
            progress=progress,
        )
        for side, openings in examples.sides()
    )
    return Sides(desired, undesired)


def read_with_site(
    model: nn.Module,
    tokenizer: Any,
    examples: Examples,
    site: Site,
    *,
    batch_size: int = 16,
    progress: bool = True,
    cache: StateCache | None = None,
) -> tuple[Sides, AtSite]:
    """As `read_states`, and in the same pass what the blocks hold at a site.

    Args:
        model: the loaded model.
        tokenizer: its tokenizer.
        examples: what to read, and where.
        site: which place inside the blocks.
        batch_size: examples at a time.
        progress: show how far it is.
        cache: as in `read_states`.

    Raises:
        InputError: an example longer than the context, or without a token to read.
        NumericalError: states that are not finite.
        ArchitectureError: the model has no such place.
    """
    places = find_sites(model, site)
    capture = capture_with_sites if cache is None else cache.with_sites
    (desired, inside), (undesired, other) = (
        capture(
            *(model, tokenizer, side, examples.positions, places),
            batch_size=batch_size,
            prompts=openings,
            progress=progress,
        )
        for side, openings in examples.sides()
    )
    return Sides(desired, undesired), AtSite(inside, other, places.heads)


def read_aligned(
    model: nn.Module,
    tokenizer: Any,
    examples: Examples,
    *,
    batch_size: int = 16,
    progress: bool = True,
    cache: StateCache | None = None,
) -> AlignedStates:
    """States of the same tokens behind the two contexts of every pair.

    Pairs whose continuations are not said have the one that both sides end in, token by token.

    Args:
        model: the loaded model.
        tokenizer: its tokenizer.
        examples: pairs, both sides of which go on alike behind different contexts.
        batch_size: examples at a time.
        progress: show how far it is.
        cache: where states may be from before, and are kept; None runs the model.

    Raises:
        InputError: the examples are not paired, or a pair is not read at the same tokens.
        NumericalError: states that are not finite.
    """
    tokens = _require_aligned(tokenizer, examples)
    capture = capture_tokens if cache is None else cache.tokens
    desired, undesired = (
        capture(
            model,
            tokenizer,
            side,
            examples.positions,
            batch_size=batch_size,
            prompts=openings,
            progress=progress,
        )
        for side, openings in examples.sides()
    )
    endings = examples.continuations or _common_endings(*tokens)
    contexts = examples.contexts
    pair = desired.example
    return AlignedStates(
        desired.states,
        undesired.states,
        group=pair,
        context=None if contexts is None else torch.tensor(contexts)[pair],
        continuation=torch.tensor(endings)[pair],
    )


def decision_tokens(tokenizer: Any, examples: Examples) -> tuple[int, ...]:
    """The token ids at which the examples are read; empty where there are more than a few.

    Examples that all end at the same kind of token, such as the start of an answer, say where the
    behaviour is decided; a steering may then act there and leave every other token alone.

    Args:
        tokenizer: the tokenizer.
        examples: what is read, and where.
    """
    found: set[int] = set()
    for tokens in (one for side in examples.tokens(tokenizer) for one in side):
        found |= {int(tokens.ids[place]) for place in examples.positions.select(tokens)}
        if len(found) > MOST_DECISION_TOKENS:
            return ()
    return tuple(sorted(found))


def _require_aligned(tokenizer: Any, examples: Examples) -> list[list[Tokens]]:
    """The tokens of both sides.

    Raises:
        InputError: the examples are not paired, or a pair is not read at the same tokens.
    """
    if not examples.pairs.paired:
        raise InputError("aligned states need pairs: give desired[i] and undesired[i] together.")
    tokens = examples.tokens(tokenizer)
    for index, pair in enumerate(zip(*tokens, strict=True)):
        first, second = (
            tuple(one.ids[place] for place in examples.positions.select(one)) for one in pair
        )
        if first != second:
            raise InputError(
                f"pair {index} is not aligned: its sides are read at the tokens "
                f"{tokenizer.decode(first)!r} and {tokenizer.decode(second)!r}. Both have to end "
                "in the same tokens, behind a desired and an undesired context; end the contexts "
                "with a line break where they grow together with what follows."
            )
    return tokens


def _common_endings(desired: Sequence[Tokens], undesired: Sequence[Tokens]) -> tuple[int, ...]:
    """A number for each pair, the same for pairs whose sides end in the same tokens."""
    known: dict[tuple[int, ...], int] = {}
    labels = []
    for one, other in zip(desired, undesired, strict=True):
        ending = one.ids[len(one) - shared_end([one.ids, other.ids]) :]
        labels.append(known.setdefault(ending, len(known)))
    return tuple(labels)
