"""Run a prompt's last token again and again, its prefix held fixed."""

from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from transformers import Cache

from steersman.errors import ArchitectureError, AttachedError, InputError, NumericalError
from steersman.plant.blocks import Blocks, locate, unwrap
from steersman.plant.forward import accepts, input_device, require_evaluation, without_head
from steersman.plant.frozen_cache import (
    Filled,
    FrozenCache,
    PrefixCache,
    empty_cache,
    freezable,
)
from steersman.plant.hooks import owners
from steersman.plant.one_query import OneQueryAttention

CHUNK = 128
"""Rows at a time: enough for the products of matrices to run at full speed."""


@dataclass(frozen=True, eq=False)
class FrozenRun:
    """A forward of several equal rows, each the last token of one prompt.

    The rows are decoded on a cache that answers with the prefix and never grows. A model whose
    cache holds more than keys and values, or that has none, is run over the whole prompt instead:
    the same derivatives, for more time and memory.

    Args:
        body: a transformers model in evaluation mode, without its head.
        blocks: its blocks.
        ids: the prompt, once a row.
    """

    body: nn.Module
    blocks: Blocks
    ids: Int[Tensor, "rows length"]
    _cache: FrozenCache | None

    @classmethod
    def of(
        cls,
        model: nn.Module,
        input_ids: Int[Tensor, "1 length"],
        chunk: int,
        asleep: object = None,
    ) -> "FrozenRun":
        """Run the prefix, and get ready to run the last token in at most `chunk` rows.

        Args:
            model: a transformers model in evaluation mode; only read.
            input_ids: one prompt without padding, at least one token.
            chunk: rows at a time.
            asleep: whoever holds hooks that do nothing meanwhile; anybody else's are refused.

        Raises:
            InputError: no token, no row, or a model in training mode.
            AttachedError: a steering is attached.
            ArchitectureError: the blocks are not found.
        """
        if input_ids.shape[1] < 1 or chunk < 1:
            raise InputError(
                f"{input_ids.shape[1]} tokens, chunk = {chunk}: both must be at least 1"
            )
        require_evaluation(model)
        blocks = locate(model)
        _require_bare(blocks, asleep)
        with torch.inference_mode(False), torch.no_grad():
            ids = input_ids.to(input_device(blocks)).repeat(min(chunk, blocks.n), 1)
            body = without_head(model)
            return cls(body, blocks, ids, _prefill(body, blocks, ids[:1, :-1]))

    @property
    def rows(self) -> int:
        """How many equal rows there are."""
        return self.ids.shape[0]

    @property
    def frozen(self) -> bool:
        """Whether the prefix is a cache, so that the last token alone is run."""
        return self._cache is not None

    def __call__(self) -> None:
        """Run the model once; hooks see its blocks run."""
        with nullcontext() if self._cache is None else OneQueryAttention(self._cache):
            self.body(**self._arguments())

    def _arguments(self) -> dict[str, Any]:
        if self._cache is not None:
            last = self.ids[:, -1:]
            return {"input_ids": last, "past_key_values": self._cache, "use_cache": True}
        without = {"use_cache": False} if accepts(self.body, "use_cache") else {}
        return {"input_ids": self.ids} | without


def require_each_once(blocks: Blocks, ran: list[int]) -> None:
    """Refuse a model whose blocks did not run in order, once each.

    Raises:
        ArchitectureError: they did not.
    """
    if ran != list(range(len(blocks))):
        raise ArchitectureError(f"not every block of {blocks.path} ran once in a forward")


def require_finite_output(block: int, y: Tensor) -> None:
    """Refuse a state that no derivative can be taken at.

    Raises:
        NumericalError: NaN or infinity; the message names the block.
    """
    if not y.isfinite().all():
        raise NumericalError(f"the output of block {block} is not finite")


def pull(x: Tensor, y: Tensor, cotangents: Tensor) -> Tensor:
    """Row i is the gradient of y_i . cotangent_i; there may be fewer cotangents than rows."""
    count = cotangents.shape[0]
    full = torch.zeros_like(y)
    full[:count] = cotangents
    (gradient,) = torch.autograd.grad(y, x, full, retain_graph=True)
    return gradient[:count].to(torch.promote_types(gradient.dtype, torch.float32))


def _require_bare(blocks: Blocks, asleep: object) -> None:
    for t, module in enumerate(blocks.modules):
        if any(owner is not asleep for owner in owners(module)):
            raise AttachedError(
                f"a steering is attached to block {t}, so its Jacobian would be that of the closed "
                "loop: leave the `with` block or detach it first"
            )


def _prefill(body: nn.Module, blocks: Blocks, prefix: Tensor) -> FrozenCache | None:
    if not accepts(body, "past_key_values"):
        return None
    cache: object = _cache(body, blocks)
    if not freezable(cache):
        return None
    if prefix.shape[1]:
        with suppress(Filled):
            cache = body(input_ids=prefix, past_key_values=cache, use_cache=True).past_key_values
    return FrozenCache(cache) if freezable(cache) else None  # type: ignore[arg-type]


def _cache(body: nn.Module, blocks: Blocks) -> Cache:
    """An empty cache; one that stops the prefix early where nobody minds that it does.

    Weights that are moved while the model runs have to be moved back, and a compiled module cannot
    be left in the middle.
    """
    config = unwrap(body).config
    parts = (body, *body.children(), *blocks.modules[-1].modules())
    minds = any(hasattr(m, "_hf_hook") or m._compiled_call_impl is not None for m in parts)
    return empty_cache(config) if minds else PrefixCache(config, len(blocks))  # type: ignore[arg-type]
