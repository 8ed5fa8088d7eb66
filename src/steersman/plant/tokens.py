"""From text or chat messages to token ids; the tokenizer is only read."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from steersman.errors import InputError
from steersman.plant.chat import Example, Rendered, render


@dataclass(frozen=True)
class Tokens:
    """One example as tokens, without padding.

    Args:
        ids: token ids, special ones included.
        text: the text they stand for.
        spans: the characters [start, end) of each token; None when the tokenizer does not tell.
        special: which tokens are special (BOS, turn marks): they stand for no text of the example.
        response_start: the character at which the response starts; None when it has no response.
    """

    ids: tuple[int, ...]
    text: str
    spans: tuple[tuple[int, int], ...] | None
    special: tuple[bool, ...]
    response_start: int | None = None

    def __len__(self) -> int:
        """The number of tokens."""
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Encoded:
    """A padded batch. `attention_mask` is 1 on real tokens, 0 on padding."""

    input_ids: Int[Tensor, "rows length"]
    attention_mask: Int[Tensor, "rows length"]

    @property
    def position_ids(self) -> Int[Tensor, "rows length"]:
        """Position of each token in its own example: 0 at the first real one, whatever is left."""
        return (self.attention_mask.cumsum(-1) - 1).clamp(min=0)

    @property
    def starts(self) -> Int[Tensor, " rows"]:
        """The column of the first real token of each row."""
        return self.attention_mask.argmax(-1)


def tokenize(
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    *,
    max_length: int | None = None,
    prompts: Sequence[str] | None = None,
    add_generation_prompt: bool = True,
) -> list[Tokens]:
    """Turn every example into tokens, never cut.

    Plain text gets the special tokens the tokenizer adds. Chat messages are rendered by its chat
    template, which writes its own: none is added, so there is no second BOS; neither for plain text
    that already starts with BOS. A conversation that ends with the user is followed by the
    generation prompt; one that ends with the assistant stops at the last character of the answer.

    Args:
        tokenizer: a tokenizer of transformers; never changed.
        examples: texts, or conversations as lists of {"role": ..., "content": ...}.
        max_length: the context of the model in tokens; None for no limit.
        prompts: for plain texts, the beginning of each that is not yet the response.
        add_generation_prompt: whether a conversation that ends with the user is made ready for the
            answer.

    Returns:
        One `Tokens` for each example.

    Raises:
        InputError: an example is empty, too long, not text, or does not start with its prompt; the
            message names its number, counted from 0.
    """
    if prompts is not None and len(prompts) != len(examples):
        raise InputError(f"{len(examples)} examples came with {len(prompts)} prompts: give as many")
    special = special_ids(tokenizer)
    tokens: list[Tokens] = []
    for index, example in enumerate(examples):
        rendered = render(tokenizer, example, index, add_generation_prompt=add_generation_prompt)
        if prompts is not None:
            rendered = _with_prompt(rendered, prompts[index], index)
        one = _tokenize_one(tokenizer, rendered, special)
        _check_length(one, index, max_length)
        tokens.append(one)
    return tokens


def pad(
    tokens: Sequence[Tokens],
    pad_id: int,
    *,
    device: torch.device | str = "cpu",
    side: Literal["left", "right"] = "left",
) -> Encoded:
    """Put examples of different lengths into one batch.

    Args:
        tokens: at least one example.
        pad_id: the id that fills the gaps; masked, so any will do.
        device: where the batch goes.
        side: where the padding goes.

    Returns:
        Ids and mask, both of shape (rows, longest).
    """
    return pad_rows([one.ids for one in tokens], pad_id, device=device, side=side)


def pad_rows(
    rows: Sequence[Sequence[int]],
    pad_id: int,
    *,
    device: torch.device | str = "cpu",
    side: Literal["left", "right"] = "left",
) -> Encoded:
    """`pad` of examples that are their ids alone.

    Args:
        rows: the ids of at least one example.
        pad_id: as in `pad`, and so are the others.
        device: see there.
        side: see there.
    """
    longest = max(map(len, rows))
    ids, mask = [], []
    for row in rows:
        fill = longest - len(row)
        real, ones, gap = list(row), [1] * len(row), [0] * fill
        ids.append([pad_id] * fill + real if side == "left" else real + [pad_id] * fill)
        mask.append(gap + ones if side == "left" else ones + gap)
    return Encoded(torch.tensor(ids, device=device), torch.tensor(mask, device=device))


def shared_end(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens at the end all of some examples have in common.

    Args:
        rows: the ids of at least one example.
    """
    columns = zip(*map(reversed, rows), strict=False)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def encode(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Example],
    *,
    max_length: int | None = None,
    device: torch.device | str = "cpu",
    side: Literal["left", "right"] = "left",
    add_generation_prompt: bool = True,
) -> Encoded:
    """Tokenise and pad: `tokenize`, then `pad` with an id that always exists.

    Args:
        tokenizer: a tokenizer of transformers, with or without a pad token; never changed.
        texts: texts or conversations, at least one.
        max_length: the context of the model in tokens; None for no limit.
        device: where the batch goes.
        side: where the padding goes; the tokenizer's own setting does not matter.
        add_generation_prompt: whether a conversation that ends with the user is made ready for the
            answer.

    Returns:
        Ids and mask.

    Raises:
        InputError: no text, or one that cannot be used as it is; the message names its number.
    """
    if not texts:
        raise InputError("there is no text to encode: give at least one")
    tokens = tokenize(
        tokenizer, texts, max_length=max_length, add_generation_prompt=add_generation_prompt
    )
    return pad(tokens, pad_id(tokenizer), device=device, side=side)


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """An id to pad with: the pad token, else the end-of-text token, else 0."""
    for candidate in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if isinstance(candidate, int):
            return candidate
    return 0


def special_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The ids that stand for no text of an example: BOS, turn marks, padding.

    Args:
        tokenizer: only read.
    """
    # An unknown word is text, unless its token also serves as a mark.
    marks = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    unknown = {tokenizer.unk_token_id} - marks
    return frozenset(tokenizer.all_special_ids) - unknown


def only_id(tokenizer: PreTrainedTokenizerBase, text: str) -> int | None:
    """The id of a text that is one token; None where it is none, or several.

    Args:
        tokenizer: of the model.
        text: what to write.
    """
    ids = tokenizer(text, add_special_tokens=False).input_ids
    return ids[0] if len(ids) == 1 else None


def ordinary_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The ids that do stand for text, in order.

    Args:
        tokenizer: only read.
    """
    return tuple(sorted(set(tokenizer.get_vocab().values()) - special_ids(tokenizer)))


def _tokenize_one(
    tokenizer: PreTrainedTokenizerBase, rendered: Rendered, special: frozenset[int]
) -> Tokens:
    bos = tokenizer.bos_token
    complete = rendered.templated or (isinstance(bos, str) and rendered.text.startswith(bos))
    found: Any = tokenizer(
        rendered.text,
        add_special_tokens=not complete,
        return_offsets_mapping=bool(tokenizer.is_fast),
        verbose=False,
    )
    ids = tuple(found["input_ids"])
    offsets = found.get("offset_mapping")
    return Tokens(
        ids=ids,
        text=rendered.text,
        spans=None if offsets is None else tuple((start, end) for start, end in offsets),
        special=tuple(token in special for token in ids),
        response_start=rendered.response_start,
    )


def _with_prompt(rendered: Rendered, prompt: str, index: int) -> Rendered:
    if rendered.templated:
        raise InputError(f"example {index} is a conversation: prompts are for plain texts only")
    if not rendered.text.startswith(prompt):
        raise InputError(f"example {index} does not start with its prompt {prompt[:60]!r}")
    return Rendered(rendered.text, templated=False, response_start=len(prompt))


def _check_length(tokens: Tokens, index: int, limit: int | None) -> None:
    if not tokens.ids:
        raise InputError(f"example {index} ({tokens.text[:60]!r}) has no tokens: give it some text")
    if limit is not None and len(tokens) > limit:
        raise InputError(
            f"example {index} ({tokens.text[:60]!r}...) has {len(tokens)} tokens and the limit is "
            f"{limit}: shorten it"
        )
