"""Say what an identification will cost, before it starts."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from steersman.plant.blocks import locate
from steersman.plant.chat import Example
from steersman.plant.frozen_run import CHUNK
from steersman.plant.identify import tokenize_prompts
from steersman.plant.linearize import Linearization, linearize
from steersman.plant.processes import Processes, ProcessGroup

_MINUTE, _HOUR = 60, 3600
_KIB = 1024


@dataclass(frozen=True)
class Estimate:
    """What an identification will cost.

    Args:
        seconds: wall time.
        peak_bytes: memory beyond the model: the matrices, and what one chunk of rows keeps for its
            derivative.
        prompts: how many prompts.
        blocks: how many blocks, T.
        n: width of the residual stream.
        processes: how many processes share the prompts; the memory is that of each.
    """

    seconds: float
    peak_bytes: int
    prompts: int
    blocks: int
    n: int
    processes: int = 1

    def __str__(self) -> str:
        """One line."""
        shared = f" in each of {self.processes} processes" if self.processes > 1 else ""
        return (
            f"{self.prompts} prompts x {self.blocks} blocks of n = {self.n}: "
            f"about {_duration(self.seconds)}, {_size(self.peak_bytes)} of memory{shared}"
        )


def estimate(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Example],
    *,
    chunk: int = CHUNK,
    max_length: int | None = None,
    group: ProcessGroup | None = None,
) -> Estimate:
    """Time one chunk of rows of one middle block, and multiply.

        seconds = (P / processes) (prefill and decode + T (n / chunk) pulls)

    Args:
        model: a transformers model in evaluation mode; only read.
        tokenizer: its tokenizer; only read.
        prompts: P texts or conversations; one of median length is tried.
        chunk: rows of A_t computed at a time.
        max_length: the longest prompt allowed, in tokens; the model's context when None.
        group: the processes that are to share the prompts, as `identify` takes it; none of them is
            asked anything.

    Returns:
        The estimate.

    Raises:
        InputError: no prompts, or one that cannot be used.
        AttachedError: a steering is attached.
    """
    blocks = locate(model)
    tokens = sorted(tokenize_prompts(tokenizer, prompts, blocks, max_length), key=len)
    ids = torch.tensor([tokens[len(tokens) // 2].ids])
    linearize(model, ids, chunk=chunk)  # the first run of anything is slow
    started = time.perf_counter()
    found = linearize(model, ids, chunk=chunk)
    run = time.perf_counter() - started
    pull, saved = _measure(found, len(blocks) // 2)
    pulls = math.ceil(blocks.n / found.rows)
    matrix = blocks.n**2 * found.states.element_size()
    processes = Processes.of(model, group).count
    return Estimate(
        seconds=math.ceil(len(tokens) / processes) * (run + len(blocks) * pulls * pull),
        peak_bytes=(len(blocks) + 2) * matrix + saved,
        prompts=len(tokens),
        blocks=len(blocks),
        n=blocks.n,
        processes=processes,
    )


def _measure(found: Linearization, block: int) -> tuple[float, int]:
    """Seconds of one pull, and the bytes that a forward keeps for it."""
    one = torch.zeros(found.blocks.n, 1)
    two = torch.zeros(found.blocks.n, 1 + found.rows)
    parameters = {p.untyped_storage().data_ptr() for p in found.blocks.modules[block].parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _seconds(found, block, one)
    single, double = _seconds(found, block, one), _seconds(found, block, two)
    return max(double - single, 0.1 * single), sum(kept.values())


def _seconds(found: Linearization, block: int, w: Tensor) -> float:
    started = time.perf_counter()
    found.vjp(block, w).sum().item()  # reading a number waits for the device
    return time.perf_counter() - started


def _duration(seconds: float) -> str:
    for unit, name in ((_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(seconds, 1):.0f} s"


def _size(count: int) -> str:
    for power, name in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if count >= _KIB**power:
            return f"{count / _KIB**power:.{1 if power == 3 else 0}f} {name}"
    return f"{count} B"
