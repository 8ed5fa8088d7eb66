"""Record how a model calls its blocks for the last token, so that each can be called again."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import Cache

from steersman.plant.frozen_cache import FrozenCache
from steersman.plant.frozen_run import FrozenRun, require_each_once
from steersman.plant.hooks import HookSet, hidden_in, hidden_out, with_hidden_in


@dataclass(frozen=True, eq=False)
class Call:
    """How the model called one block with several equal rows.

    Args:
        args: positional arguments, the residual stream left out of them.
        kwargs: keyword arguments, the residual stream left out of them.
        x: the residual stream of one row, shape (1, length, n): length 1 on a frozen cache.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    x: Tensor


def record_calls(run: FrozenRun) -> tuple[tuple[Call, ...], Tensor]:
    """Run the last token once.

    Args:
        run: the model, ready to run it.

    Returns:
        The call of each block, and x_T at the last token.

    Raises:
        ArchitectureError: a block did not run exactly once.
    """
    calls: list[Call] = []
    ran: list[int] = []
    last: list[Tensor] = []

    def before(block: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        x = hidden_in(args, kwargs)
        left, named = with_hidden_in(args, kwargs, x.new_empty(0))
        ran.append(block)
        calls.append(Call(tuple(map(_stateless, left)), _each_stateless(named), x[:1].clone()))

    def after(args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        last.append(hidden_out(output)[0, -1])

    with torch.inference_mode(False), torch.no_grad(), HookSet() as hooks:
        for block, module in enumerate(run.blocks.modules):
            hooks.before(module, partial(before, block))
        hooks.after(run.blocks.modules[-1], after)
        run()
    require_each_once(run.blocks, ran)
    return tuple(calls), last[0]


def _stateless(value: Any) -> Any:
    """No cache but a frozen one, even if the model makes one unasked: calls must not add up."""
    return None if isinstance(value, Cache) and not isinstance(value, FrozenCache) else value


def _each_stateless(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: _stateless(value) for name, value in kwargs.items()}
