"""The Jacobians of every block at one token of one prompt, taken while the model runs."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from steersman.errors import NumericalError
from steersman.plant.frozen_run import (
    CHUNK,
    FrozenRun,
    pull,
    require_each_once,
    require_finite_output,
)
from steersman.plant.hooks import HookSet, hidden_in, hidden_out, with_hidden, with_hidden_in

Take = Callable[[int, Float[Tensor, "n n"]], None]


def jacobians(
    model: nn.Module, input_ids: Int[Tensor, "1 length"], *, chunk: int = CHUNK
) -> Float[Tensor, "blocks n n"]:
    """The Jacobians A_t of every block at the last token of one prompt, earlier tokens fixed.

        A_t = d f_t(x_t) / d x_t

    Args:
        model: a transformers model in evaluation mode, with no steering attached; only read.
        input_ids: one prompt without padding, at least one token.
        chunk: rows of A_t computed at a time; bounds the memory.

    Returns:
        A of shape (T, n, n) on the CPU, in float32 (float64 when the model is).

    Raises:
        InputError: no token, no row at a time, or a model in training mode.
        AttachedError: a steering is attached.
        ArchitectureError: the blocks are not found, or did not run once each.
        NumericalError: a Jacobian is not finite.
    """
    found: list[Tensor] = []
    each_jacobian(model, input_ids, lambda block, matrix: found.append(matrix.cpu()), chunk=chunk)
    return torch.stack(found)


def each_jacobian(
    model: nn.Module,
    input_ids: Int[Tensor, "1 length"],
    take: Take,
    *,
    chunk: int = CHUNK,
    skip: Collection[int] = (),
) -> None:
    """Hand over A_t of each block as soon as the block has run, and keep nothing.

    The last token runs in `chunk` equal rows, its prefix held fixed. Each block starts a graph of
    its own, of which one reverse pass gives `chunk` rows of A_t.

    Args:
        model: a transformers model in evaluation mode, with no steering attached; only read.
        input_ids: one prompt without padding, at least one token.
        take: told the block and its Jacobian, in the order of the blocks.
        chunk: rows of A_t computed at a time; bounds the memory.
        skip: blocks whose Jacobian is not wanted.

    Raises:
        InputError: no token, no row at a time, or a model in training mode.
        AttachedError: a steering is attached.
        ArchitectureError: the blocks are not found, or did not run once each.
        NumericalError: a Jacobian is not finite.
    """
    run = FrozenRun.of(model, input_ids, chunk)
    ran: list[int] = []
    leaves: dict[int, Tensor] = {}

    def before(block: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        x = hidden_in(args, kwargs).detach()
        leaves[block] = x[:, -1].requires_grad_(block not in skip)
        # A block may write into its input, but not into a leaf.
        whole = torch.cat([x[:, :-1], leaves[block][:, None]], dim=1)
        return with_hidden_in(args, kwargs, whole)

    def after(block: int, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        states, x = hidden_out(output), leaves.pop(block)
        ran.append(block)
        require_finite_output(block, states[:, -1])
        if block not in skip:
            take(block, _matrix(block, x, states[:, -1]))
        return with_hidden(output, states.detach())

    with torch.inference_mode(False), torch.enable_grad(), HookSet() as hooks:
        for block, module in enumerate(run.blocks.modules):
            hooks.before(module, partial(before, block))
            hooks.after(module, partial(after, block))
        run()
    require_each_once(run.blocks, ran)


def _matrix(block: int, x: Tensor, y: Tensor) -> Tensor:
    n = y.shape[-1]
    matrix = torch.empty(n, n, device=y.device, dtype=torch.promote_types(y.dtype, torch.float32))
    for rows in torch.split(torch.arange(n, device=y.device), y.shape[0]):
        unit = torch.zeros(len(rows), n, device=y.device, dtype=y.dtype)
        matrix[rows] = pull(x, y, unit.scatter_(1, rows[:, None], 1))
    # The sum alone is several times as fast, and is finite wherever no entry is NaN or infinite.
    if not matrix.sum().isfinite() and not matrix.isfinite().all():
        raise NumericalError(
            f"the Jacobian of block {block} is not finite: load the model in bfloat16 or float32 "
            "if it is in float16"
        )
    return matrix
