"""The leading part of a low-rank factor."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Truncated(NamedTuple):
    """A factor with fewer columns, `W Z`, and what the other ones were worth.

    Attributes:
        basis: `Z`, orthonormal columns, `(m, kept)`; None where all columns were kept.
        W: the factor that is left, `(n, kept)`.
        discarded: the largest singular value left out, `sigma`: `|W W' - W Z Z' W'| = sigma^2` in
            the spectral norm, and `0 <= x' (W W' - W Z Z' W') x <= sigma^2 |x|^2`. Zero where it
            is no more than the rounding of the largest one.
    """

    basis: Float[Tensor, "m kept"] | None
    W: Float[Tensor, "n kept"]
    discarded: float


def truncate(W: Float[Tensor, "n m"], rank: int) -> Truncated:
    """Keep the leading `rank` singular directions of `W = U S Z'`, at most `n`.

    Columns beyond `n` are always redundant, and leaving them out discards nothing. `U` is never
    formed: the singular values and `Z` are those of the small triangle of a thin QR.

    Args:
        W: a factor of `W W'`, `(n, m)`.
        rank: how many columns may be kept, at least one.

    Source:
        Golub and Van Loan, Matrix Computations, chapter 8.
    """
    n, m = W.shape
    kept = min(rank, n)
    if m <= kept:
        return Truncated(None, W, 0.0)
    _, triangle = torch.linalg.qr(W, mode="r")
    _, sizes, rows = torch.linalg.svd(triangle, full_matrices=False)
    basis = rows[:kept].mT.contiguous()
    rounding = max(n, m) * torch.finfo(W.dtype).eps * sizes[0]
    differs = kept < len(sizes) and bool(sizes[kept] > rounding)
    return Truncated(basis, W @ basis, float(sizes[kept]) if differs else 0.0)
