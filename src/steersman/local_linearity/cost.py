"""What a measurement will cost, told before it starts."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from steersman.plant import Estimate, Example, Linearization, estimate

_TRIED = 256
"""The width up to which a decomposition is timed."""
_MATRICES = 4
"""Matrices held at once: the Jacobian, itself less I, and what decomposing them takes."""


def foretell(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[Example],
    runs: Sequence[Linearization],
    columns: int,
    rank: int,
    chunk: int,
) -> Estimate:
    """Jacobians of every prompt, their decomposition, and the steps.

        seconds = P (T (n / chunk) pulls + T decompositions + T products with the steps)

    Args:
        model: a transformers model in evaluation mode; only read.
        tokenizer: its tokenizer.
        prompts: P texts or conversations.
        runs: the blocks around the last token of each.
        columns: with how many steps each prompt's Jacobian is multiplied.
        rank: how many singular vectors are kept.
        chunk: rows of a Jacobian computed at a time.
    """
    found = estimate(model, tokenizer, prompts, chunk=chunk)
    matrix = found.n**2 * runs[0].states.element_size()
    each = found.prompts * found.blocks
    held = 2 * each * rank * found.n * runs[0].states.element_size()
    seconds = each * (_decomposition(found.n) + _products(runs[0], columns))
    return replace(
        found,
        seconds=found.seconds + seconds,
        peak_bytes=found.peak_bytes + (_MATRICES - found.blocks - 2) * matrix + held,
    )


def _decomposition(n: int) -> float:
    """Seconds for two singular value decompositions and the eigenvalues, which grow as n^3."""
    size = min(n, _TRIED)
    matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(0))
    torch.linalg.eigvals(matrix)  # the first run of anything is slow
    started = time.perf_counter()
    torch.linalg.svd(matrix)
    torch.linalg.svd(matrix)
    torch.linalg.eigvals(matrix)
    return (time.perf_counter() - started) * (n / size) ** 3


def _products(run: Linearization, columns: int) -> float:
    """Seconds for one block's products with the steps."""
    tried = torch.ones(run.blocks.n, run.rows)
    block = len(run.blocks) // 2
    run.jvp(block, tried)
    started = time.perf_counter()
    run.jvp(block, tried).sum().item()
    run.outputs(block, tried).sum().item()
    return math.ceil(columns / run.rows) * (time.perf_counter() - started)
