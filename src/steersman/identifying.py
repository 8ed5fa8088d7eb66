"""The model's blocks as a linear time-varying plant, with an estimate beforehand."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from steersman.control import LTVSystem
from steersman.data import Example
from steersman.plant import CHUNK, Processes, ProcessGroup, estimate
from steersman.plant import identify as identify_blocks


def identify(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[Example],
    *,
    chunk: int = CHUNK,
    checkpoint: str | Path | None = None,
    progress: bool = True,
    group: ProcessGroup | None = None,
) -> LTVSystem:
    """The model's blocks as a linear time-varying plant, averaged over prompts.

        A_t = mean over prompts of  d f_t(x_t) / d x_t   at the last token, earlier tokens fixed

    Called in every process of an initialised `torch.distributed` group, as `torchrun` and
    `accelerate launch` start them, it shares the prompts out and returns the same plant in each.

    Args:
        model: the loaded model.
        tokenizer: its tokenizer.
        prompts: texts or chats.
        chunk: cotangents at a time; bounds the memory.
        checkpoint: where to keep the running mean; an interrupted call given again goes on there,
            with any number of processes.
        progress: say beforehand how long it will take, and show how far it is, in one process.
        group: the processes that share the prompts; None is the default group, where one is
            initialised. A process that shall work alone passes a group of itself.

    Returns:
        The plant; `plant.A` is `(blocks, n, n)`, float32.

    Raises:
        InputError: no prompts, or one longer than the model's context.
        MismatchError: the checkpoint is of another model or other prompts, or the processes were
            not given the same ones.
        ProcessError: another process failed, died, or was silent for the group's timeout.
        NumericalError: a Jacobian is not finite.

    Source:
        A-LQR (arXiv 2604.19018), section 4; the frozen prefix is ours.
    """
    if progress and Processes.of(model, group).first:
        cost = estimate(model, tokenizer, prompts, chunk=chunk, group=group)
        sys.stderr.write(f"identifying the plant: {cost}\n")
    found = identify_blocks(
        model,
        tokenizer,
        prompts,
        chunk=chunk,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        progress=progress,
        group=group,
    )
    return LTVSystem(found.A)
