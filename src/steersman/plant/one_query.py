"""Attention of one query, written out so that a fixed prefix costs no gradient.

A fused kernel's backward pass makes the gradient of every key and value, for every row; for a
prefix that is held fixed all of it is thrown away.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

from steersman.plant.frozen_cache import FrozenCache, Joined

_FUSED = torch.nn.functional.scaled_dot_product_attention


class OneQueryAttention(TorchFunctionMode):
    """Within it, one query over keys and values that a cache has just joined is written out.

    Every other call, such as one whose keys were copied since, goes to the fused kernel.

    Args:
        cache: the prefix.
    """

    def __init__(self, cache: FrozenCache) -> None:
        """Nothing happens before `with`."""
        super().__init__()
        self._cache = cache

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Answer for the fused kernel, let everything else pass."""
        given = dict(kwargs or {})
        if func is _FUSED and len(args) == 3 and _plain(args[0], given):
            keys, values = (self._cache.parts(tensor) for tensor in args[1:])
            if keys is not None and values is not None:
                return _attend(args[0], keys, values, given.get("attn_mask"), given.get("scale"))
        return func(*args, **given)


def _plain(query: Tensor, given: Mapping[str, Any]) -> bool:
    """One query, whose keys are all those that the mask lets through."""
    return query.shape[-2] == 1 and not (given.get("is_causal") or given.get("dropout_p"))


def _attend(
    query: Float[Tensor, "rows heads 1 d"],
    keys: Joined,
    values: Joined,
    mask: Tensor | None,
    scale: float | None,
) -> Float[Tensor, "rows heads 1 e"]:
    """softmax(scale q' [K_prefix, k]) [V_prefix, v], where only q, k and v depend on anything."""
    rows, heads, _, d = query.shape
    groups = keys.prefix.shape[0]
    q = query.reshape(rows, groups, heads // groups, d) * (d**-0.5 if scale is None else scale)
    own = torch.einsum("rghd,rgd->rgh", q, keys.new)
    scores = torch.cat([torch.einsum("rghd,gld->rghl", q, keys.prefix), own[..., None]], dim=-1)
    if mask is not None:
        scores = _masked(scores, mask, heads)
    # As the fused kernels do it; NaN would only be a row that may see nothing, not even itself.
    share = scores.softmax(-1, dtype=torch.promote_types(q.dtype, torch.float32)).to(q.dtype)
    seen = torch.einsum("rghl,gle->rghe", share[..., :-1], values.prefix)
    return (seen + share[..., -1:] * values.new[:, :, None]).reshape(rows, heads, 1, -1)


def _masked(
    scores: Float[Tensor, "rows groups h keys"], mask: Tensor, heads: int
) -> Float[Tensor, "rows groups h keys"]:
    each = mask.expand(scores.shape[0], heads, 1, scores.shape[-1]).reshape(scores.shape)
    return scores.masked_fill(~each, -torch.inf) if each.dtype == torch.bool else scores + each
