"""Condition vectors from states of prompts that are to fire and of prompts that are not."""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.errors import InputError, ShapeError

VectorName = Literal["pca", "mean"]


def condition_vectors(
    firing: Float[Tensor, "firing states n"],
    others: Float[Tensor, "others states n"],
    kind: VectorName = "pca",
) -> Float[Tensor, "states n"]:
    """A vector of length one for every state.

        "pca":   c = first principal component of { x+_i - m_i, x-_i - m_i },  m_i = (x+_i + x-_i)/2
        "mean":  c = mean x+ - mean x-

    "pca" needs pairs: `x+_i` and `x-_i` are the states of pair `i`. Its sign is the one that most
    pairs have, `c'(x+_i - x-_i) > 0`, or of their mean where as many have the other.

    Args:
        firing: states of prompts that are to fire.
        others: states of prompts that are not.
        kind: which of the two.

    Returns:
        The vectors; zero where the two sides are the same.

    Raises:
        ShapeError: the sides have different states, or are no pairs.

    Source:
        "pca": CAST (arXiv 2409.05907) and its published code.
    """
    if firing.shape[1:] != others.shape[1:]:
        raise ShapeError(
            f"states of prompts that fire are {tuple(firing.shape[1:])}, of the others "
            f"{tuple(others.shape[1:])}; both need the same (states, n)."
        )
    if kind not in VECTORS:
        raise InputError(f"vector is {kind!r}; choose one of {', '.join(VECTORS)}.")
    return torch.nn.functional.normalize(VECTORS[kind](firing, others), dim=-1)


def _pca(
    firing: Float[Tensor, "firing states n"], others: Float[Tensor, "others states n"]
) -> Float[Tensor, "states n"]:
    """The halves of a pair mirror each other, so their mean is 0 and the differences tell all."""
    if len(firing) != len(others):
        raise ShapeError(
            f"{len(firing)} prompts that fire and {len(others)} others are no pairs: give as many, "
            "or use vector='mean'."
        )
    apart = (firing - others).transpose(0, 1)
    c: Tensor = torch.linalg.svd(apart, full_matrices=False).Vh[:, 0]
    along = torch.einsum("spn,sn->sp", apart, c)
    votes = along.sign().sum(dim=1)
    sign = torch.where(votes != 0, votes, along.sum(dim=1)).sign()
    return c * sign[:, None]


def _mean(
    firing: Float[Tensor, "firing states n"], others: Float[Tensor, "others states n"]
) -> Float[Tensor, "states n"]:
    return firing.mean(0) - others.mean(0)


VECTORS: dict[VectorName, Callable[[Tensor, Tensor], Tensor]] = {"pca": _pca, "mean": _mean}
