"""How much a state is like a condition vector."""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

SimilarityName = Literal["tanh", "cosine"]


def similarity(
    x: Float[Tensor, "*rows n"], c: Float[Tensor, " n"], kind: SimilarityName = "tanh"
) -> Float[Tensor, " *rows"]:
    """One number between -1 and 1 for each state.

        "tanh":    sim = cos(x, tanh(P x)),    P = c c' / |c|^2
        "cosine":  sim = cos(x, c)

    `P x` is the same for `c` and `-c` and lies on the same side as `x`, so that "tanh" hardly goes
    below 0 and does not tell the two ways along `c` apart: where no coordinate of `P x` is large it
    is `|cos(x, c)|`. "cosine" tells them apart.

    Args:
        x: states.
        c: the condition vector; of any length.
        kind: which of the two.

    Returns:
        Their similarity; 0 for a state or a vector of length zero.

    Source:
        "tanh": CAST (arXiv 2409.05907) and its published code.
    """
    return SIMILARITIES[kind](x, c.to(x))


def _saturated(x: Float[Tensor, "*rows n"], c: Float[Tensor, " n"]) -> Float[Tensor, " *rows"]:
    unit = c / c.norm().clamp(min=torch.finfo(c.dtype).tiny)
    return _cosine(x, torch.tanh((x @ unit).unsqueeze(-1) * unit))


def _cosine(x: Float[Tensor, "*rows n"], c: Float[Tensor, "*any n"]) -> Float[Tensor, " *rows"]:
    return cosine_similarity(x, c.expand_as(x), dim=-1)


SIMILARITIES: dict[SimilarityName, Callable[[Tensor, Tensor], Tensor]] = {
    "tanh": _saturated,
    "cosine": _cosine,
}
