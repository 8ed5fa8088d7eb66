"""Record how a model calls its blocks for the last token, the prefix held fixed."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from transformers import Cache

from steersman.errors import ArchitectureError, AttachedError
from steersman.plant.blocks import Blocks, unwrap
from steersman.plant.forward import accepts, last_logits_only
from steersman.plant.frozen_cache import FrozenCache, empty_cache, freezable
from steersman.plant.hooks import HookSet, hidden_in, hidden_out, owners, with_hidden_in


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


def record_calls(
    model: nn.Module, blocks: Blocks, input_ids: Int[Tensor, "1 length"], rows: int
) -> tuple[tuple[Call, ...], Tensor]:
    """Run a prompt once, so that each block can be called again for its last token alone.

    Args:
        model: a transformers model.
        blocks: its blocks.
        input_ids: one prompt, on the model's device.
        rows: how many equal rows the blocks are to be called with again.

    Returns:
        The call of each block, and x_T at the last token.

    Raises:
        ArchitectureError: a block did not run exactly once.
    """
    with torch.inference_mode(False), torch.no_grad():
        cache = _prefill(model, input_ids[:, :-1])
        return _record(model, blocks, input_ids, cache, rows)


def require_bare(blocks: Blocks) -> None:
    """Refuse a model that is being steered.

    Raises:
        AttachedError: a steering is attached to a block.
    """
    for t, module in enumerate(blocks.modules):
        if owners(module):
            raise AttachedError(
                f"a steering is attached to block {t}, so its Jacobian would be that of the closed "
                "loop: leave the `with` block or detach it first"
            )


def _prefill(model: nn.Module, prefix: Tensor) -> FrozenCache | None:
    if not accepts(model, "past_key_values"):
        return None
    cache: object = empty_cache(unwrap(model).config)  # type: ignore[arg-type]
    if not freezable(cache):
        return None
    if prefix.shape[1]:
        run = model(
            input_ids=prefix, past_key_values=cache, use_cache=True, **last_logits_only(model)
        )
        cache = run.past_key_values
    return FrozenCache(cache) if freezable(cache) else None  # type: ignore[arg-type]


def _record(
    model: nn.Module, blocks: Blocks, ids: Tensor, cache: FrozenCache | None, rows: int
) -> tuple[tuple[Call, ...], Tensor]:
    calls: dict[int, Call] = {}
    last: list[Tensor] = []

    def before(t: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        x = hidden_in(args, kwargs)
        left, named = with_hidden_in(args, kwargs, x.new_empty(0))
        calls[t] = Call(tuple(map(_stateless, left)), _each_stateless(named), x[:1].clone())

    def after(args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        last.append(hidden_out(output)[0, -1])

    with HookSet() as hooks:
        for t, module in enumerate(blocks.modules):
            hooks.before(module, partial(before, t))
        hooks.after(blocks.modules[-1], after)
        model(**_arguments(model, ids.repeat(rows, 1), cache))
    if len(calls) != len(blocks) or len(last) != 1:
        raise ArchitectureError(f"not every block of {blocks.path} ran once in a forward")
    return tuple(calls[t] for t in range(len(blocks))), last[0]


def _stateless(value: Any) -> Any:
    """No cache but a frozen one, even if the model makes one unasked: calls must not add up."""
    return None if isinstance(value, Cache) and not isinstance(value, FrozenCache) else value


def _each_stateless(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: _stateless(value) for name, value in kwargs.items()}


def _arguments(model: nn.Module, ids: Tensor, cache: FrozenCache | None) -> dict[str, Any]:
    if cache is not None:
        decode = {"input_ids": ids[:, -1:], "past_key_values": cache, "use_cache": True}
        return decode | last_logits_only(model)
    whole = {"input_ids": ids} | last_logits_only(model)
    return whole | ({"use_cache": False} if accepts(model, "use_cache") else {})
