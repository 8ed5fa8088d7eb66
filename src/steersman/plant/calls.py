"""Record how a model calls its blocks for the last token, so that each can be called again."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import Cache

from steersman.plant.frozen_cache import FrozenCache
from steersman.plant.frozen_run import FrozenRun, require_each_once
from steersman.plant.hooks import HookSet, hidden_in, hidden_out, with_hidden, with_hidden_in


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


class Graph(NamedTuple):
    """What one block made of several equal rows, so that it can be differentiated.

    Attributes:
        x: the last token's state at its input, once a row; a leaf.
        y: the states at its output.
    """

    x: Float[Tensor, "rows n"]
    y: Float[Tensor, "rows n"]


class Recorded(NamedTuple):
    """One run of the last token.

    Attributes:
        calls: of each block.
        last: x_T at the last token.
        graphs: of each block, where they were kept.
    """

    calls: tuple[Call, ...]
    last: Float[Tensor, " n"]
    graphs: tuple[Graph, ...] = ()


def record_calls(run: FrozenRun, *, keep: bool = False) -> Recorded:
    """Run the last token once.

    Args:
        run: the model, ready to run it.
        keep: keep the graph of each block too, each from a leaf of its own.

    Raises:
        ArchitectureError: a block did not run exactly once.
    """
    calls: list[Call] = []
    leaves: list[Tensor] = []
    outputs: list[Tensor] = []
    ran: list[int] = []

    def before(block: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        x = hidden_in(args, kwargs).detach()
        left, named = with_hidden_in(args, kwargs, x.new_empty(0))
        ran.append(block)
        calls.append(Call(tuple(map(_stateless, left)), _each_stateless(named), x[:1].clone()))
        if not keep:
            return None
        leaves.append(x[:, -1].clone().requires_grad_())
        # A block may write into its input, but not into a leaf.
        whole = torch.cat([x[:, :-1], leaves[-1][:, None]], dim=1)
        return with_hidden_in(args, kwargs, whole)

    def after(args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        states = hidden_out(output)
        outputs.append(states[:, -1])
        return with_hidden(output, states.detach()) if keep else None

    with torch.inference_mode(False), torch.set_grad_enabled(keep), HookSet() as hooks:
        for block, module in enumerate(run.blocks.modules):
            hooks.before(module, partial(before, block))
            if keep or module is run.blocks.modules[-1]:
                hooks.after(module, after)
        run()
    require_each_once(run.blocks, ran)
    graphs = tuple(map(Graph, leaves, outputs)) if keep else ()
    return Recorded(tuple(calls), outputs[-1][0].detach(), graphs)


def _stateless(value: Any) -> Any:
    """No cache but a frozen one, even if the model makes one unasked: calls must not add up."""
    return None if isinstance(value, Cache) and not isinstance(value, FrozenCache) else value


def _each_stateless(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: _stateless(value) for name, value in kwargs.items()}
