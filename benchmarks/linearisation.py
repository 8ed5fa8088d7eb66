"""Frozen-prefix Jacobians against autograd through the whole sequence.

The published way (A-LQR, arXiv 2604.19018): `torch.autograd.functional.jacobian` of a block's last
output row with respect to its whole input sequence, of which the last token's columns are kept.
Both sides start from token ids and end with the matrices of every block.
"""

from functools import partial
from typing import Any

import machine
import torch
from parts import Cell, Parts
from random_llama import random_llama
from timing import Seconds, alternate, columns, ratios, spread, taken_by
from torch import Tensor

from steersman.plant import HookSet, hidden_out, jacobians, locate

VARIANTS = [(attention, batched) for attention in ("sdpa", "eager") for batched in (True, False)]


def parts(config: dict[str, Any]) -> Parts:
    """Every width and length."""
    return {
        f"n = {n}, {length} tokens": partial(_cells, config, n, length)
        for n in config["widths"]
        for length in config["lengths"]
    }


def whole_sequence(model: Any, ids: Tensor, batched: bool) -> Tensor:
    """`(blocks, n, n)` by autograd through every token of the prompt.

    Args:
        model: the model.
        ids: `(1, length)`.
        batched: differentiate all rows at once, as `vectorize=True` does.
    """
    calls: list[tuple[Tensor, dict[str, Any]]] = []
    blocks = locate(model)
    with HookSet() as hooks, torch.no_grad():
        for module in blocks.modules:
            hooks.before(module, lambda args, kwargs: calls.append((args[0], kwargs)))
        model(input_ids=ids, use_cache=False)
    found = []
    for module, (x, kwargs) in zip(blocks.modules, calls, strict=True):

        def last(states: Tensor, module: Any = module, kwargs: Any = kwargs) -> Tensor:
            return hidden_out(module(states, **kwargs))[0, -1]

        differentiate: Any = torch.autograd.functional.jacobian
        found.append(differentiate(last, x, vectorize=batched)[:, 0, -1])
    return torch.stack(found)


def _cells(config: dict[str, Any], n: int, length: int) -> list[Cell]:
    cell = _cell(config, n, length)
    print(f"{cell['speedup_spread']['median']:.1f} times as fast", flush=True)
    return [cell]


def _cell(config: dict[str, Any], n: int, length: int) -> Cell:
    blocks = config["blocks"]
    models = {
        attention: random_llama(n, blocks, config["vocabulary"], attention=attention)
        for attention in ("sdpa", "eager")
    }
    ids = torch.arange(length)[None] % config["vocabulary"]

    def ours() -> Tensor:
        return jacobians(models["sdpa"], ids, chunk=config["chunk"])

    trials = {
        (attention, batched): taken_by(partial(whole_sequence, models[attention], ids, batched))
        for attention, batched in VARIANTS
    }
    fastest = min(VARIANTS, key=lambda variant: trials[variant].processor)

    def theirs() -> Tensor:
        return whole_sequence(models[fastest[0]], ids, fastest[1])

    autograd, steersman = alternate(theirs, ours, config["pairs"])
    faster = ratios(autograd, steersman)
    ours_per_block = _per_block(steersman, blocks)
    return {
        "n": n,
        "length": length,
        "autograd_trials": {_label(*v): taken._asdict() for v, taken in trials.items()},
        "autograd_fastest": _label(*fastest),
        "autograd_seconds": columns(autograd),
        "steersman_seconds": columns(steersman),
        "autograd_seconds_per_block": _per_block(autograd, blocks),
        "steersman_seconds_per_block": ours_per_block,
        "speedup": faster,
        "speedup_spread": spread(faster["processor"]),
        **_difference(ours(), theirs()),
        **_floor(models["sdpa"], n, length, config["chunk"], ours_per_block["least"]),
    }


def _per_block(taken: list[Seconds], blocks: int) -> dict[str, float]:
    return spread([seconds.processor / blocks for seconds in taken])


def _label(attention: str, batched: bool) -> str:
    return f"{attention}, vectorize={batched}"


def _difference(ours: Tensor, theirs: Tensor) -> dict[str, float]:
    """Largest over the blocks: of the matrices, and of what the block adds to the identity."""
    error = (ours - theirs).flatten(1).norm(dim=1)
    whole = theirs.flatten(1).norm(dim=1)
    added = (theirs - torch.eye(theirs.shape[-1])).flatten(1).norm(dim=1)
    return {
        "largest_relative_difference": float((error / whole).max()),
        "largest_relative_difference_without_identity": float((error / added).max()),
        "largest_entry_difference": float((ours - theirs).abs().max()),
    }


def _floor(model: Any, n: int, length: int, chunk: int, seconds: float) -> dict[str, Any]:
    """Time that the multiply-adds alone would take at this machine's fastest measured rates.

    One vector-Jacobian product of a block in decode mode multiplies once by each weight matrix and
    twice by the prefix: `d(probabilities) = d(out) V'` and `d(query) = d(scores) K`. `seconds` is
    the fastest run too, and all of it is processor time of one thread.
    """
    block = locate(model).modules[0]
    weights = sum(p.numel() for p in block.parameters() if p.dim() == 2)
    products = n * (weights + 2 * n * length)
    square = machine.multiply_rate(1024, 1024, 1024)
    narrow = machine.multiply_rate(chunk, n, 7 * n // 2)
    return {
        "vjp_multiply_adds_per_block": products,
        "square_gemm_multiply_adds_per_second": square,
        "chunk_gemm_multiply_adds_per_second": narrow,
        "floor_seconds_per_block": products / square,
        "chunk_floor_seconds_per_block": products / narrow,
        "times_the_floor": seconds * square / products,
        "times_the_chunk_floor": seconds * narrow / products,
    }
