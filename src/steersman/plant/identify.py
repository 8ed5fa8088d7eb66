"""Identify the plant: the Jacobians of every block, averaged over prompts."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from steersman.errors import InputError, NumericalError
from steersman.plant.blocks import Blocks, locate
from steersman.plant.chat import Example
from steersman.plant.checkpoint import Checkpoint, Job, RunningMean, fresh_mean
from steersman.plant.fingerprint import fingerprint
from steersman.plant.frozen_run import CHUNK
from steersman.plant.jacobian import each_jacobian
from steersman.plant.tokens import Tokens, tokenize


@dataclass(frozen=True, eq=False)
class Identified:
    """The plant, averaged over prompts.

    Args:
        A: the mean Jacobian of every block.
        prompts: how many prompts were averaged.
        seconds: how long it took, interruptions left out.
    """

    A: Float[Tensor, "blocks n n"]
    prompts: int
    seconds: float


def identify(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Example],
    *,
    chunk: int = CHUNK,
    checkpoint: Path | None = None,
    progress: bool = True,
    max_length: int | None = None,
) -> Identified:
    """Average the frozen-prefix Jacobians of every block over prompts.

        A_t = (1 / P) sum_p  d f_t(x_t^p) / d x_t        at the last token of prompt p

    One matrix a block is kept: memory does not grow with the prompts. Each prompt is run on its
    own, so there is no padding. Products are in the model's precision, the mean in float32.

    Args:
        model: a transformers model in evaluation mode, with no steering attached; only read.
        tokenizer: its tokenizer; only read.
        prompts: P texts or conversations.
        chunk: rows of A_t computed at a time; bounds the memory.
        checkpoint: a file for the running mean. An interrupted identification goes on where it was
            when the same call is made again, and ends with the same bits.
        progress: show a progress bar.
        max_length: the longest prompt allowed, in tokens; the model's context when None.

    Returns:
        The mean, on the CPU, in float32 (float64 when the model is).

    Raises:
        InputError: no prompts, or one that cannot be used; the message names its number.
        MismatchError: the checkpoint belongs to another model or to other prompts.
        ArtifactError: the checkpoint cannot be read.
        AttachedError: a steering is attached.
        NumericalError: a Jacobian is not finite; the message names prompt and block.

    Source:
        A-LQR (arXiv 2604.19018), section 4, averages the Jacobians of whole sequences; holding the
        prefix fixed gives the same matrices for the last token at a fraction of the cost.
    """
    blocks = locate(model)
    tokens = tokenize_prompts(tokenizer, prompts, blocks, max_length)
    dtype = _working_dtype(model)
    file = None if checkpoint is None else Checkpoint(checkpoint, _job(model, tokens))
    mean = (file.load() if file else None) or fresh_mean(len(blocks), blocks.n, dtype)
    total = len(tokens) * len(blocks)
    with tqdm(total=total, unit="block", desc="identify", disable=not progress) as bar:
        bar.update(sum(mean.counts))

        def folded() -> None:
            bar.update()
            if file:
                file.save_if_due(mean)

        for index, one in enumerate(tokens):
            if min(mean.counts) > index:
                continue
            _fold_prompt(model, one, index, mean, chunk, folded)
    if file:
        file.save(mean)
    return Identified(mean.A, len(tokens), mean.seconds)


def tokenize_prompts(
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Example],
    blocks: Blocks,
    max_length: int | None = None,
) -> list[Tokens]:
    """The prompts an identification averages over, as tokens.

    Raises:
        InputError: there is none, or one cannot be used.
    """
    if not prompts:
        raise InputError("there is no prompt to identify the plant at: give at least one")
    limit = max_length if max_length is not None else blocks.context
    return tokenize(tokenizer, prompts, max_length=limit)


def _fold_prompt(
    model: nn.Module,
    tokens: Tokens,
    index: int,
    mean: RunningMean,
    chunk: int,
    folded: Callable[[], None],
) -> None:
    """Take one prompt into the mean, a block at a time; blocks that have it already are skipped."""
    started = time.monotonic()

    def fold(block: int, matrix: Tensor) -> None:
        nonlocal started
        mean.fold(block, matrix)
        mean.seconds += time.monotonic() - started
        folded()
        started = time.monotonic()

    done = [block for block, count in enumerate(mean.counts) if count > index]
    try:
        each_jacobian(model, torch.tensor([tokens.ids]), fold, chunk=chunk, skip=done)
    except NumericalError as error:
        raise NumericalError(f"prompt {index} ({tokens.text[:60]!r}): {error}") from error


def _job(model: nn.Module, tokens: Sequence[Tokens]) -> Job:
    digest = hashlib.sha256()
    for one in tokens:
        digest.update(f"{len(one)}:{','.join(map(str, one.ids))};".encode())
    return Job(model=fingerprint(model), prompts=digest.hexdigest())


def _working_dtype(model: nn.Module) -> torch.dtype:
    floating = (p.dtype for p in model.parameters() if p.is_floating_point())
    return torch.promote_types(next(floating, torch.float32), torch.float32)
