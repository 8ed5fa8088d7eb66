"""How alike the leading subspaces of two matrices are, and how alike chance makes them."""

from math import asin, cos, exp, lgamma, pi, sin, sqrt
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_real, require_shape
from steersman.errors import InputError


class Leading(NamedTuple):
    """What is kept of a matrix.

    Attributes:
        values: all its singular values, falling.
        subspace: `U_r diag(s_r)`: its leading left singular vectors, each as long as its value.
    """

    values: Float[Tensor, " n"]
    subspace: Float[Tensor, "n r"]


def leading(matrix: Float[Tensor, "n n"], rank: int) -> Leading:
    """The singular values of a matrix, and its leading left singular vectors.

        M = U diag(s) V',   kept are s and U_r diag(s_r)

    Args:
        matrix: `M`, float32 or float64.
        rank: `r`, how many vectors are kept.

    Raises:
        InputError: `r` is not between 1 and n, or M is in half precision.
        NumericalError: NaN or infinity.
    """
    require_real("matrix", matrix)
    _require_rank(matrix.shape[0], rank)
    u, s, _ = torch.linalg.svd(matrix)
    return Leading(s, u[:, :rank] * s[:rank])


def similarities(subspaces: Float[Tensor, "m n r"]) -> Float[Tensor, "m m"]:
    """The spectral similarity of the leading subspaces of every two matrices.

        sim = | diag(s) U' V diag(t) |_*  /  (|s| |t|)      U diag(s), V diag(t): two subspaces

    with the nuclear norm above and Euclidean ones below: between 0 and 1, and 1 exactly where
    `U diag(s)^2 U'` and `V diag(t)^2 V'` are multiples of one another. It is the root fidelity of
    these two, divided by their traces.

    Args:
        subspaces: `U diag(s)` of every matrix, such as `leading` gives.

    Returns:
        The similarity of every two; NaN beside a subspace that is zero.

    Source:
        A-LQR (arXiv 2604.19018), equation 24.
    """
    norms = torch.linalg.matrix_norm(subspaces)
    found = subspaces.new_full((len(subspaces), len(subspaces)), torch.nan)
    for i, first in enumerate(subspaces):
        nuclear = torch.linalg.matrix_norm(first.T @ subspaces[i:], ord="nuc")
        found[i, i:] = found[i:, i] = nuclear / (norms[i] * norms[i:])
    return found


def chance_similarity(n: int, rank: int) -> float:
    """The mean similarity of two random subspaces all of whose singular values are alike.

    The cosines of the angles between them are the singular values of the r x r corner of a random
    rotation of R^n. For r = 1 their mean is

        Gamma(n/2) / (sqrt(pi) Gamma((n+1)/2))

    For r > 1 it is the limit of large n at this `c = r/n`: the squared cosines then have the
    density `sqrt((b - y) y) / (2 pi c y (1 - y))` on `[0, b]` with `b = 4 c (1 - c)`, and

        E cos = (sin 2a - 2a cos 2a) / (pi c),   sin(a)^2 = c      (c <= 1/2)

    which is close to `8 sqrt(c) / (3 pi)` where c is small, and above the mean at a finite size by
    a share of about `0.1 / r`. Two subspaces of more than half the width share 2r - n directions.

    Args:
        n: the width.
        rank: `r`, dimension of the subspaces.

    Raises:
        InputError: `r` is not between 1 and n.

    Source:
        Wachter (1980), The limiting empirical measure of multiple discriminant ratios; the mean
        cosine is its integral.
    """
    _require_rank(n, rank)
    if rank == n:
        return 1.0
    if 2 * rank > n:
        return (2 * rank - n + (n - rank) * chance_similarity(n, n - rank)) / rank
    if rank == 1:
        return exp(lgamma(n / 2) - lgamma((n + 1) / 2)) / sqrt(pi)
    angle = asin(sqrt(rank / n))
    return (sin(2 * angle) - 2 * angle * cos(2 * angle)) / (pi * rank / n)


def drawn_similarity(
    first: Float[Tensor, "draws r"],
    second: Float[Tensor, "draws r"],
    corners: Float[Tensor, "draws r r"],
) -> Float[Tensor, " draws"]:
    """The similarity of two subspaces with these singular values, turned at random.

        | diag(s) Q_r diag(t) |_* / (|s| |t|)     Q_r: a corner of a random rotation

    The baseline that a similarity has to be read against: real spectra are not flat, so chance
    makes two of them less alike than `chance_similarity` says. Its mean square is between 1/n and
    r/n.

    Args:
        first: `s` of each draw.
        second: `t` of each draw.
        corners: `Q_r` of each draw, from `random_corners`.

    Raises:
        ShapeError: the shapes do not go together.
    """
    draws, rank = first.shape
    require_shape("second", second, ("draws", draws), ("r", rank))
    require_shape("corners", corners, ("draws", draws), ("r", rank), ("r", rank))
    turned = first.unsqueeze(-1) * corners.to(first) * second.unsqueeze(-2)
    nuclear: Tensor = torch.linalg.matrix_norm(turned, ord="nuc")
    lengths: Tensor = first.norm(dim=-1) * second.norm(dim=-1)
    return nuclear / lengths


def random_corners(
    n: int, rank: int, draws: int, generator: torch.Generator
) -> Float[Tensor, "draws r r"]:
    """The r x r corners of random rotations of R^n, uniform over all rotations.

    Args:
        n: the width.
        rank: `r`.
        draws: how many.
        generator: of the draws.

    Raises:
        InputError: `r` is not between 1 and n, or there is no draw.
    """
    _require_rank(n, rank)
    if draws < 1:
        raise InputError(f"{draws} draws were asked for; at least 1 is needed.")
    return torch.stack([_corner(n, rank, generator) for _ in range(draws)])


def _corner(n: int, rank: int, generator: torch.Generator) -> Tensor:
    drawn = torch.randn(n, rank, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(drawn)
    # With R's diagonal made positive, Q is uniform, not only its subspace.
    corner: Tensor = q[:rank] * r.diagonal().sign()
    return corner


def _require_rank(n: int, rank: int) -> None:
    if not 1 <= rank <= n:
        raise InputError(f"rank is {rank}; it must be between 1 and n = {n}.")


__all__ = [
    "Leading",
    "chance_similarity",
    "drawn_similarity",
    "leading",
    "random_corners",
    "similarities",
]
