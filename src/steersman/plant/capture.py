"""Record the residual stream: x_0 .. x_T at chosen tokens, whatever the padding."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from steersman.plant.blocks import Blocks, locate
from steersman.plant.capturing import CaptureJob, Pool, pooled_states, require_finite
from steersman.plant.chat import Example
from steersman.plant.forward import input_device
from steersman.plant.positions import LastToken, Positions
from steersman.plant.sites import Sites
from steersman.plant.tokens import Encoded


@dataclass(frozen=True, eq=False)
class TokenStates:
    """States of single tokens, in the order of the examples and of the tokens in them.

    Args:
        states: x_0 .. x_T of each token.
        example: which example each token is in.
        position: which token of its example it is, counted without padding.
    """

    states: Float[Tensor, "tokens states n"]
    example: Int[Tensor, " tokens"]
    position: Int[Tensor, " tokens"]


def capture_states(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Example],
    positions: Positions | None = None,
    *,
    batch_size: int = 16,
    prompts: Sequence[str] | None = None,
    max_length: int | None = None,
    progress: bool = False,
) -> Float[Tensor, "examples states n"]:
    """Read the states x_0 .. x_T of every example, averaged over the tokens a rule selects.

    x_t is the residual stream at the input of block t; x_T is the output of the last block, before
    the final norm. How the examples are batched and padded does not matter. A steering attached to
    the model is in force.

    Args:
        model: a transformers model in evaluation mode; only read.
        tokenizer: its tokenizer; only read.
        texts: N texts or conversations.
        positions: where to read; the last token when None.
        batch_size: examples in one forward.
        prompts: for plain texts, the beginning of each that is not yet the response.
        max_length: the longest example allowed, in tokens; the model's context when None.
        progress: show a progress bar.

    Returns:
        States of shape (N, T + 1, n) on the CPU, in float32 (float64 when the model is).

    Raises:
        InputError: an example cannot be used, or the rule selects none of its tokens.
        NumericalError: a state is not finite; the message names the example and the block.
        ArchitectureError: the blocks are not found, or one of them did not run.
    """
    job = CaptureJob(model, tokenizer, texts, positions or LastToken(), prompts, max_length)
    return _means(model, job, None, batch_size, progress)[0]


def capture_with_sites(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Example],
    positions: Positions | None,
    sites: Sites,
    *,
    batch_size: int = 16,
    prompts: Sequence[str] | None = None,
    max_length: int | None = None,
    progress: bool = False,
) -> tuple[Float[Tensor, "examples states n"], Float[Tensor, "examples blocks width"]]:
    """As `capture_states`, and in the same pass what each block holds at a site.

    Args:
        model: a transformers model in evaluation mode; only read.
        tokenizer: its tokenizer; only read.
        texts: N texts or conversations.
        positions: where to read; the last token when None.
        sites: which place inside the blocks is read as well.
        batch_size: examples in one forward.
        prompts: for plain texts, the beginning of each that is not yet the response.
        max_length: the longest example allowed, in tokens; the model's context when None.
        progress: show a progress bar.

    Returns:
        The states, and `(N, T, width)` at the site, both on the CPU.

    Raises:
        InputError: an example cannot be used, or the rule selects none of its tokens.
        NumericalError: a number is not finite; the message names the example and the block.
        ArchitectureError: the blocks are not found, or one of them or its site did not run.
    """
    job = CaptureJob(model, tokenizer, texts, positions or LastToken(), prompts, max_length)
    states, parts = _means(model, job, sites, batch_size, progress)
    assert parts is not None
    return states, parts


def capture_tokens(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Example],
    positions: Positions | None = None,
    *,
    batch_size: int = 16,
    prompts: Sequence[str] | None = None,
    max_length: int | None = None,
    progress: bool = False,
) -> TokenStates:
    """Read the states x_0 .. x_T of every single token a rule selects: `capture_states` unaveraged.

    Args:
        model: a transformers model in evaluation mode; only read.
        tokenizer: its tokenizer; only read.
        texts: texts or conversations.
        positions: where to read; the last token when None.
        batch_size: examples in one forward.
        prompts: for plain texts, the beginning of each that is not yet the response.
        max_length: the longest example allowed, in tokens; the model's context when None.
        progress: show a progress bar.

    Returns:
        The states and the place of each, on the CPU; memory grows with the tokens selected.

    Raises:
        InputError: an example cannot be used, or the rule selects none of its tokens.
        NumericalError: a state is not finite; the message names the example and the block.
        ArchitectureError: the blocks are not found, or one of them did not run.
    """
    job = CaptureJob(model, tokenizer, texts, positions or LastToken(), prompts, max_length)
    captured: dict[int, Tensor] = {}
    for batch, encoded in job.batches(batch_size, progress):
        chosen = [job.chosen[i] for i in batch]
        states, _ = pooled_states(model, job.blocks, encoded, Pool.each(encoded, chosen))
        require_finite(states, [i for i in batch for _ in job.chosen[i]])
        parts = torch.split(states, [len(some) for some in chosen])
        captured.update(zip(batch, parts, strict=True))
    order = range(len(job.tokens))
    return TokenStates(
        states=torch.cat([captured[i] for i in order]),
        example=torch.tensor([i for i in order for _ in job.chosen[i]]),
        position=torch.tensor([p for i in order for p in job.chosen[i]]),
    )


def capture_batch(
    model: nn.Module, blocks: Blocks, encoded: Encoded, chosen: Sequence[Sequence[int]]
) -> Float[Tensor, "rows states n"]:
    """Read the states of one batch: for each row the mean over its chosen tokens.

    Args:
        model: a transformers model in evaluation mode; only read.
        blocks: its blocks.
        encoded: the batch, padded on any side.
        chosen: for each row the indices of tokens, counted without padding; at least one.

    Returns:
        States of shape (rows, T + 1, n) on the CPU, in float32 (float64 when the model is).

    Raises:
        InputError: the model is in training mode.
        ArchitectureError: a block did not run.
    """
    return pooled_states(model, blocks, encoded, Pool.mean(encoded, chosen))[0]


def capture_sequence(
    model: nn.Module, input_ids: Int[Tensor, "1 length"], chosen: Sequence[int]
) -> Float[Tensor, "tokens states n"]:
    """Read the states of single tokens of one sequence. A steering attached to it is in force.

    Args:
        model: a transformers model in evaluation mode; only read.
        input_ids: one sequence without padding.
        chosen: indices of tokens; at least one.

    Returns:
        States of shape (tokens, T + 1, n) on the CPU, in float32 (float64 when the model is).

    Raises:
        InputError: the model is in training mode.
        NumericalError: a state is not finite; the message names the token and the block.
        ArchitectureError: the blocks are not found, or one of them did not run.
    """
    blocks = locate(model)
    ids = input_ids.to(input_device(blocks))
    encoded = Encoded(ids, torch.ones_like(ids))
    states, _ = pooled_states(model, blocks, encoded, Pool.each(encoded, [chosen]))
    require_finite(states, list(chosen), "token")
    return states


def _means(
    model: nn.Module, job: CaptureJob, sites: Sites | None, batch_size: int, progress: bool
) -> tuple[Float[Tensor, "examples states n"], Float[Tensor, "examples blocks width"] | None]:
    """The mean of every example, of the states and at a site."""
    captured: dict[int, Tensor] = {}
    parts: dict[int, Tensor] = {}
    for batch, encoded in job.batches(batch_size, progress):
        pool = Pool.mean(encoded, [job.chosen[i] for i in batch])
        states, found = pooled_states(model, job.blocks, encoded, pool, sites)
        require_finite(states, batch)
        captured.update(zip(batch, states, strict=True))
        if found is not None:
            require_finite(found, batch, site=sites)
            parts.update(zip(batch, found, strict=True))
    order = range(len(job.tokens))
    whole = torch.stack([captured[i] for i in order])
    return whole, torch.stack([parts[i] for i in order]) if parts else None
