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
from steersman.plant.checkpoint import Checkpoint, Job, fresh_mean
from steersman.plant.fingerprint import fingerprint
from steersman.plant.frozen_run import CHUNK
from steersman.plant.jacobian import each_jacobian
from steersman.plant.processes import Processes, ProcessGroup, spread
from steersman.plant.shared_mean import SharedMean
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
    group: ProcessGroup | None = None,
) -> Identified:
    """Average the frozen-prefix Jacobians of every block over prompts.

        A_t = (1 / P) sum_p  d f_t(x_t^p) / d x_t        at the last token of prompt p

    One matrix a block is kept: memory does not grow with the prompts. Each prompt is run on its
    own, so there is no padding. Products are in the model's precision, the mean in float32.

    Processes of an initialised `torch.distributed` group that all make the same call share the
    prompts out, one each in turns, and all return the same mean; it differs from that of one
    process by rounding. Each keeps one matrix a block.

    Args:
        model: a transformers model in evaluation mode, with no steering attached; only read.
        tokenizer: its tokenizer; only read.
        prompts: P texts or conversations.
        chunk: rows of A_t computed at a time; bounds the memory.
        checkpoint: a file for the running mean. An interrupted identification goes on where it was
            when the same call is made again, and ends with the same bits. Of several processes
            the first writes it, and any number of them can go on from it. A write comes after
            at most 20 times as long as it takes; an error writes what was finished before it.
        progress: show a progress bar, in the first process.
        max_length: the longest prompt allowed, in tokens; the model's context when None.
        group: the processes that share the prompts; None is the default group, where one is
            initialised. A process that shall work alone passes a group of itself. Processes over
            which the model's own weights are spread (tensor parallel, FSDP, DeepSpeed) run every
            prompt together, and share none out unless a group says so.

    Returns:
        The mean, on the CPU, in float32 (float64 when the model is).

    Raises:
        InputError: no prompts, or one that cannot be used; the message names its number. Or a
            checkpoint of a model whose weights are spread over processes.
        MismatchError: the checkpoint belongs to another model or to other prompts, or the
            processes were not given the same model and prompts.
        ProcessError: another process failed, died, or was silent for the group's timeout.
        ArtifactError: the checkpoint cannot be read.
        AttachedError: a steering is attached.
        NumericalError: a Jacobian is not finite; the message names prompt and block.

    Source:
        A-LQR (arXiv 2604.19018), section 4, averages the Jacobians of whole sequences; holding the
        prefix fixed gives the same matrices for the last token at a fraction of the cost.
    """
    if checkpoint is not None and spread(model):
        raise InputError(
            "the model's weights are spread over processes that run every prompt together, and "
            "they cannot stop and go on by a checkpoint together: leave it out"
        )
    processes = Processes.of(model, group).connected()
    with processes.together():
        blocks = locate(model)
        tokens = tokenize_prompts(tokenizer, prompts, blocks, max_length)
        job = agreed(processes, model, tokens)
        file = None if checkpoint is None else Checkpoint(checkpoint, job)
        fresh = fresh_mean(len(blocks), blocks.n, working_dtype(model))
        mean = SharedMean.resumed(processes, fresh, file)
    total = len(tokens) * len(blocks)
    quiet = not (progress and processes.first)
    with (
        processes.together(mean.rescue),
        tqdm(total=total, unit="block", desc="identify", disable=quiet) as bar,
    ):
        bar.update(sum(mean.seen))
        for start in range(min(mean.seen), len(tokens), processes.count):
            turn = _Turn(mean, min(start + processes.count, len(tokens)), bar.update)
            index = start + processes.rank
            if index < len(tokens):
                _take_prompt(model, tokens[index], index, turn, chunk)
            turn.wait_until(len(blocks))
        processes.step()
    with processes.together():
        whole = mean.finish()
    return Identified(whole.A, len(tokens), whole.seconds)


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


def agreed(processes: Processes, model: nn.Module, tokens: Sequence[Tokens]) -> Job:
    """What is to be averaged, which has to be the same in all processes.

    Raises:
        MismatchError: it is not.
        ProcessError: another process failed, died or was silent.
    """
    digest = hashlib.sha256()
    for one in tokens:
        digest.update(f"{len(one)}:{','.join(map(str, one.ids))};".encode())
    job = Job(model=fingerprint(model), prompts=digest.hexdigest())
    processes.require_same("model", job.model)
    processes.require_same("prompts", job.prompts)
    return job


def working_dtype(model: nn.Module) -> torch.dtype:
    """The precision that is accumulated in: float32, or float64 where the model is."""
    floating = (p.dtype for p in model.parameters() if p.is_floating_point())
    return torch.promote_types(next(floating, torch.float32), torch.float32)


class _Turn:
    """One prompt for every process, block by block.

    Args:
        mean: what they are taken into.
        until: how many prompts each block has seen after this turn.
        moved: told how many Jacobians were taken, in all processes.
    """

    def __init__(self, mean: SharedMean, until: int, moved: Callable[[int], object]) -> None:
        self._mean, self._until, self._moved = mean, until, moved
        self._block = 0
        self._started = time.monotonic()

    def done(self, index: int) -> list[int]:
        """The blocks that have seen prompt `index` before."""
        return [block for block, count in enumerate(self._mean.seen) if count > index]

    def take(self, block: int, matrix: Float[Tensor, "n n"]) -> None:
        """The Jacobian of one block at this process's prompt."""
        self.wait_until(block)
        self._step(matrix)

    def wait_until(self, block: int) -> None:
        """Let the others take theirs of all blocks before this one."""
        while self._block < block:
            self._step(None)

    def _step(self, matrix: Float[Tensor, "n n"] | None) -> None:
        now = time.monotonic()
        self._mean.mean.seconds += now - self._started
        self._started = now
        self._moved(self._mean.take(self._block, matrix, self._until))
        self._block += 1


def _take_prompt(model: nn.Module, tokens: Tokens, index: int, turn: _Turn, chunk: int) -> None:
    """Take one prompt into the mean, a block at a time; blocks that have it already are skipped."""
    ids, done = torch.tensor([tokens.ids]), turn.done(index)
    try:
        each_jacobian(model, ids, turn.take, chunk=chunk, skip=done)
    except NumericalError as error:
        raise NumericalError(f"prompt {index} ({tokens.text[:60]!r}): {error}") from error
