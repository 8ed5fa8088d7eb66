"""The same tokens with and without a steering, state by state."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm.auto import tqdm

from steersman.bounding.attachment import Attachment
from steersman.errors import InputError
from steersman.plant import (
    Example,
    Tokens,
    capture_sequence,
    input_device,
    locate,
    pad_id,
    tokenize,
)


@dataclass(frozen=True, eq=False)
class PairedRun:
    """One prompt and what the steered model wrote after it, run with the steering and without.

    Args:
        ids: the prompt and the tokens after it that were read.
        nominal: the states of the unsteered run from the prompt's last token on, float64.
        steered: those of the steered run.
    """

    ids: Int[Tensor, " length"]
    nominal: Float[Tensor, "tokens states n"]
    steered: Float[Tensor, "tokens states n"]

    @property
    def deviation(self) -> Float[Tensor, "tokens states n"]:
        """`delta_t`, the steered state less the unsteered one."""
        return self.steered - self.nominal

    def upto(self, token: int) -> Int[Tensor, "1 length"]:
        """The sequence that ends with one of the tokens, counted from the prompt's last."""
        first = len(self.ids) - len(self.nominal)
        return self.ids[None, : first + token + 1]


def paired_runs(
    attachment: Attachment,
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[Example],
    *,
    new_tokens: int = 1,
    progress: bool = False,
) -> Iterator[PairedRun]:
    """Run every prompt twice, one at a time, without padding.

    With more than one new token the steered model writes first, greedily, and both runs then read
    what it wrote.

    Args:
        attachment: the steering, and how it is attached.
        model: the model; it is not changed.
        tokenizer: its tokenizer.
        prompts: texts or chats.
        new_tokens: how many tokens are looked at: the prompt's last one, which decides the first
            new token, and those new ones that decide another. Fewer where the text ends before.
        progress: show a progress bar.

    Raises:
        InputError: no prompts, one longer than the model's context, or no token to look at.
        MismatchError: the model is another one.
    """
    for tokens in tqdm(
        read_prompts(model, tokenizer, prompts, new_tokens),
        desc="run twice",
        unit="prompt",
        disable=not progress,
    ):
        yield _paired(attachment, model, tokenizer, tokens, new_tokens)


def read_prompts(
    model: nn.Module, tokenizer: Any, prompts: Sequence[Example], new_tokens: int
) -> list[Tokens]:
    """The prompts as tokens.

    Raises:
        InputError: no prompts, one longer than the model's context, or no token to look at.
    """
    if not prompts:
        raise InputError("there is no prompt: give at least one.")
    if new_tokens < 1:
        raise InputError(f"new_tokens is {new_tokens}; it must be at least 1.")
    context = locate(model).context
    limit = None if context is None else context - new_tokens + 1
    return tokenize(tokenizer, prompts, max_length=limit)


def fingerprint(tokens: Tokens) -> str:
    """SHA-256 of a prompt as the model sees it: tells prompts apart without keeping them."""
    return hashlib.sha256(json.dumps(tokens.ids).encode()).hexdigest()


def _paired(
    attachment: Attachment, model: nn.Module, tokenizer: Any, tokens: Tokens, new_tokens: int
) -> PairedRun:
    ids = torch.tensor([tokens.ids])
    length = ids.shape[1]
    if new_tokens > 1:
        ids = _written(attachment, model, tokenizer, ids, new_tokens - 1)
    places = range(length - 1, ids.shape[1])
    nominal = capture_sequence(model, ids, places)
    with attachment.attach(model, prompt_length=length):
        steered = capture_sequence(model, ids, places)
    return PairedRun(ids[0], nominal.double(), steered.double())


def _written(
    attachment: Attachment, model: Any, tokenizer: Any, ids: Tensor, count: int
) -> Int[Tensor, "1 longer"]:
    """The prompt and what the steered model writes after it, greedily, on the CPU."""
    given = ids.to(input_device(locate(model)))
    with attachment.attach(model), torch.no_grad():
        written: Tensor = model.generate(
            given,
            attention_mask=torch.ones_like(given),
            max_new_tokens=count,
            do_sample=False,
            pad_token_id=pad_id(tokenizer),
        )
    return written.cpu()
