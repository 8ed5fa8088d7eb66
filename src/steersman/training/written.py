"""Examples as tokens, with the place where their responses start, and as batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from steersman.errors import InputError
from steersman.plant import Encoded, Positions, ResponseTokens, Tokens


@dataclass(frozen=True)
class Written:
    """One example.

    Args:
        ids: its tokens.
        start: the first token of the response, at least 1: the very first token follows nothing.
        read: the tokens at which its state is read.
    """

    ids: tuple[int, ...]
    start: int
    read: tuple[int, ...]


def written(
    desired: Sequence[Tokens], undesired: Sequence[Tokens], positions: Positions, paired: bool
) -> tuple[tuple[Written, ...], tuple[Written, ...]]:
    """Both sides of the examples, with the start of every response.

    Where an example says where its response starts, as a conversation does that ends with the
    assistant, that is it. Else the sides of a pair have a prompt as far as they agree, and what
    differs is the response: what two answers to one question begin with in common is told apart
    by no comparison of the two. Examples without a counterpart are responses as a whole.

    Args:
        desired: examples as tokens.
        undesired: likewise.
        positions: where their states are read.
        paired: whether `desired[i]` is the counterpart of `undesired[i]`.
    """
    starts = [[_told(one) for one in side] for side in (desired, undesired)]
    if paired:
        for i, pair in enumerate(zip(desired, undesired, strict=True)):
            alike = _alike(*pair)
            for side in starts:
                side[i] = alike if side[i] is None else side[i]
    sides = (
        tuple(
            Written(one.ids, max(1, start or 0), positions.select(one))
            for one, start in zip(side, found, strict=True)
        )
        for side, found in zip((desired, undesired), starts, strict=True)
    )
    first, second = sides
    return first, second


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples side by side: prompts end at one column, and the responses follow.

    Args:
        encoded: prompts padded on the left, responses on the right.
        prompt: columns of the prompts.
        responding: which of the columns behind them are a response's.
        starts: the column of each row's first token.
    """

    encoded: Encoded
    prompt: int
    responding: Bool[Tensor, "rows response"]
    starts: tuple[int, ...]

    @classmethod
    def of(
        cls, examples: Sequence[Written], pad_id: int, device: torch.device | str = "cpu"
    ) -> "Batch":
        """The batch of some examples.

        Args:
            examples: at least one.
            pad_id: the id that fills the gaps.
            device: where it goes.
        """
        prompt = max(one.start for one in examples)
        behind = max(len(one.ids) - one.start for one in examples)
        ids = torch.full((len(examples), prompt + behind), pad_id)
        mask = torch.zeros_like(ids)
        for row, one in enumerate(examples):
            first = prompt - one.start
            ids[row, first : first + len(one.ids)] = torch.tensor(one.ids)
            mask[row, first : first + len(one.ids)] = 1
        encoded = Encoded(ids.to(device), mask.to(device))
        starts = tuple(prompt - one.start for one in examples)
        return cls(encoded, prompt, encoded.attention_mask[:, prompt:].bool(), starts)

    @property
    def response(self) -> Int[Tensor, "rows response"]:
        """The tokens behind the prompts."""
        return self.encoded.input_ids[:, self.prompt :]


def require_responses(examples: Sequence[Written], side: str) -> None:
    """Refuse examples without a response.

    Raises:
        InputError: there is one; names it.
    """
    for index, one in enumerate(examples):
        if one.start >= len(one.ids):
            raise InputError(
                f"{side} example {index} has no response: its counterpart goes on where it ends. "
                "Give prompts with answers, of which neither is the beginning of the other."
            )


def _told(tokens: Tokens) -> int | None:
    """The first token of the response, where the example says where that starts."""
    if tokens.response_start is None:
        return None
    found = ResponseTokens().select(tokens)
    return found[0] if found else len(tokens)


def _alike(one: Tokens, other: Tokens) -> int:
    """How many tokens both begin with."""
    pairs = zip(one.ids, other.ids, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
