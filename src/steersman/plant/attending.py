"""How much the last tokens of examples attend to their beginning, and their states; in one pass."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.errors import ArchitectureError, InputError
from steersman.plant.blocks import Blocks, locate, unwrap
from steersman.plant.forward import forward_arguments, input_device, require_evaluation
from steersman.plant.hooks import HookSet, hidden_out
from steersman.plant.tokens import pad_rows
from steersman.plant.writers import projections


class Attending(NamedTuple):
    """What the last tokens of some examples show.

    Attributes:
        states: what leaves each block.
        attention: the weight that falls on the beginning, the mean over heads, in each block.
    """

    states: Float[Tensor, "rows tokens blocks n"]
    attention: Float[Tensor, "rows tokens blocks"]


def attending(
    model: nn.Module,
    rows: Sequence[Sequence[int]],
    beginnings: Sequence[int],
    last: int,
    *,
    pad_id: int,
    batch_size: int = 16,
) -> Attending:
    """Run examples with their attention weights shown, and take what their last tokens have.

        attention[i, j, t] = mean over heads of  sum_{m < beginnings[i]} A_t[j, m]

    The model runs with the plain ("eager") implementation of attention meanwhile, the only one that
    shows weights, and has its own again afterwards. They are taken from what attention modules
    return: asking the model for its attentions would leave hooks of its own on it for good.

    Args:
        model: a transformers model in evaluation mode.
        rows: the token ids of every example, at least `last` each.
        beginnings: how many tokens of each are its beginning; 0 where it has none.
        last: how many tokens at the end are looked at.
        pad_id: the id that fills gaps.
        batch_size: examples at a time.

    Returns:
        On the CPU, in float32 or more.

    Raises:
        InputError: an example too short, or none.
        ArchitectureError: the model does not show the attention of every block.
    """
    if not rows or min(map(len, rows)) < last:
        raise InputError(f"{len(rows)} examples, of which each needs {last} tokens or more.")
    require_evaluation(model)
    blocks, modules, parts = locate(model), _attention_modules(model), []
    with _shown(model), torch.no_grad():
        for first in range(0, len(rows), batch_size):
            some = slice(first, first + batch_size)
            given = (rows[some], beginnings[some], last, pad_id)
            parts.append(_batch(model, blocks, modules, *given))
    states, attention = (torch.cat(each) for each in zip(*parts, strict=True))
    return Attending(states, attention)


def _batch(
    model: nn.Module,
    blocks: Blocks,
    modules: Sequence[nn.Module],
    rows: Sequence[Sequence[int]],
    beginnings: Sequence[int],
    last: int,
    pad_id: int,
) -> Attending:
    # Padded on the right, the tokens of a beginning are the first columns of every row.
    encoded = pad_rows(rows, pad_id, device=input_device(blocks), side="right")
    longest = encoded.input_ids.shape[1]
    ends = torch.tensor([[len(row) - last + j for j in range(last)] for row in rows])
    index = torch.arange(len(rows))[:, None], ends
    inside = torch.arange(longest) < torch.tensor(beginnings)[:, None]
    states: dict[int, Tensor] = {}
    weights: dict[int, Tensor] = {}

    def keep(t: int, args: Any, kwargs: Any, output: Any) -> None:
        y = hidden_out(output)
        states[t] = y[index].to(torch.promote_types(y.dtype, torch.float32)).cpu()

    def look(t: int, args: Any, kwargs: Any, output: Any) -> None:
        weight = _weight(output, len(rows), longest)
        if weight is not None:
            weights[t] = _on(weight, index, inside)

    with HookSet() as hooks:
        for t, module in enumerate(blocks.modules):
            hooks.after(module, partial(keep, t))
            hooks.after(modules[t], partial(look, t))
        model(**forward_arguments(model, encoded))
    if len(weights) != len(blocks):
        raise ArchitectureError(
            f"{type(unwrap(model)).__name__} showed the attention of {len(weights)} of "
            f"{len(blocks)} blocks, so what its tokens attend to is not known: use a method that "
            "does not ask"
        )
    both = ([one[t] for t in range(len(blocks))] for one in (states, weights))
    return Attending(*(torch.stack(one, dim=2) for one in both))


def _attention_modules(model: nn.Module) -> tuple[nn.Module, ...]:
    """Of every block the child that holds the attention's output projection."""
    found = []
    for block, some in zip(locate(model).modules, projections(model), strict=True):
        (writer, *_) = (module for part, module in some if part == "attention")
        found.append(next(c for c in block.children() if any(m is writer for m in c.modules())))
    return tuple(found)


def _weight(output: Any, rows: int, length: int) -> Tensor | None:
    """The weights among what an attention module returns."""
    parts = output if isinstance(output, tuple | list) else ()
    for one in parts:
        of_pairs = isinstance(one, Tensor) and one.ndim == 4
        if of_pairs and (one.shape[0], *one.shape[2:]) == (rows, length, length):
            return torch.as_tensor(one)
    return None


def _on(
    weight: Float[Tensor, "rows heads length length"],
    index: tuple[Tensor, Tensor],
    inside: Tensor,
) -> Float[Tensor, "rows tokens"]:
    """The weight of the looked-at tokens on the beginning, over heads."""
    mean = weight.float().cpu().mean(1)[index]
    return (mean * inside[:, None]).sum(-1)


@contextmanager
def _shown(model: nn.Module) -> Iterator[None]:
    """The model with the implementation of attention that shows its weights."""
    inner: Any = unwrap(model)
    before = getattr(inner.config, "_attn_implementation", None)
    if before == "eager" or not hasattr(inner, "set_attn_implementation"):
        yield
        return
    inner.set_attn_implementation("eager")
    try:
        yield
    finally:
        inner.set_attn_implementation(before)
