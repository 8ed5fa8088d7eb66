"""Full-state feedback along a few directions, with a bound on what was left out."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.riccati import dense_riccati
from steersman.control.system import LTVSystem
from steersman.errors import InputError


class LowRankGains(NamedTuple):
    """The gains `G_t H_t'` that stand for the dense `K_t`.

    Attributes:
        H: the leading right singular vectors of each `K_t`, orthonormal columns, `(blocks, n, k)`;
            zero columns fill up a block that needs fewer.
        G: the left ones, each as long as its singular value, `(blocks, n, k)`.
        discarded: `sigma_t`, the largest singular value left out: `|(K_t - G_t H_t') e|` is at most
            `sigma_t |e|`, and that much for some `e`; `(blocks,)`.
    """

    H: Float[Tensor, "blocks n k"]
    G: Float[Tensor, "blocks n k"]
    discarded: Float[Tensor, " blocks"]


def low_rank_gains(
    system: LTVSystem,
    q: float,
    r: float,
    qf: float,
    *,
    rank: int | None = None,
    tolerance: float = 0.0,
) -> LowRankGains:
    """The LQR gains of `dense_riccati`, each replaced by the nearest matrix of low rank.

        K_t = U S V',    G_t = U_k S_k,  H_t = V_k,    |K_t - G_t H_t'| = sigma_{k+1}

    Args:
        system: the plant.
        q: weight of the state error at each block input, above zero.
        r: weight of each input, above zero.
        qf: weight of the final state error, above zero. Only `q/r` and `qf/r` matter.
        rank: the most directions a block may have; None is the width of the state.
        tolerance: leave out directions whose singular value is at most this share of the block's
            largest, where the rank does not do so already.

    Returns:
        The gains in float64; `k` is the most directions that a block kept.

    Raises:
        InputError: a weight, the rank or the tolerance cannot be.
        NumericalError: the recursion broke down.

    Source:
        Eckart and Young, The approximation of one matrix by another of lower rank (1936); the
        trajectory tracking of A-LQR (arXiv 2604.19018) keeps the dense gains.
    """
    most = system.n if rank is None else min(rank, system.n)
    if most < 1:
        raise InputError(f"rank is {rank}; at least one direction must be kept, or None for all.")
    if not 0 <= tolerance < 1:
        raise InputError(f"tolerance is {tolerance}; it must be at least 0 and below 1.")
    shape = (system.blocks, system.n, most)
    H = torch.zeros(shape, dtype=torch.float64, device=system.A.device)
    G, discarded, kept = torch.zeros_like(H), H.new_zeros(system.blocks), 1
    for block, K, _ in dense_riccati(system, q, r, qf):
        U, S, Vh = torch.linalg.svd(K)
        needed = int((S / S[0] > tolerance).sum())
        k = min(most, max(1, needed))
        H[block, :, :k], G[block, :, :k] = Vh[:k].mT, U[:, :k] * S[:k]
        discarded[block] = S[k] if k < len(S) else 0.0
        kept = max(kept, k)
    return LowRankGains(H[..., :kept].contiguous(), G[..., :kept].contiguous(), discarded)
