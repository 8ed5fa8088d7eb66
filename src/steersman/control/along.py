"""What one projection of the state shall become, as an amount of an affine map of it.

Every setpoint below is the field `u = s v_t (a_t + b_t v_t' x)` for unit vectors `v_t`: at `s = 1`
the projection `p = v_t' x` becomes `p' = p + a_t + b_t p`, at `s = 0` nothing is added. Together
with `Within`, which says for which `p`, they are the one-dimensional setpoints there are.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.field import AffineField
from steersman.control.law import Reads


def along(
    v: Float[Tensor, "blocks n"],
    a: Float[Tensor, " blocks"],
    b: Float[Tensor, " blocks"],
    reads: Reads = "output",
) -> AffineField:
    """`u = s v_t (a_t + b_t v_t' x)`.

    Args:
        v: unit vectors, zero at a block that never acts, `(blocks, n)`.
        a: what is added to the projection, `(blocks,)`.
        b: how much of the projection itself is added, `(blocks,)`.
        reads: whether it moves what enters a block or what leaves it.
    """
    G = v.unsqueeze(-1)
    return AffineField(b[:, None, None] * G, G, a.unsqueeze(-1), reads)


def offset(
    v: Float[Tensor, "blocks n"], by: Float[Tensor, " blocks"], reads: Reads = "output"
) -> AffineField:
    """`p' = p + by`: the uniform push."""
    return along(v, by, torch.zeros_like(by), reads)


def clamped(
    v: Float[Tensor, "blocks n"], to: Float[Tensor, " blocks"], reads: Reads = "output"
) -> AffineField:
    """`p' = to`; to zero it is directional ablation. Idempotent at amount 1."""
    return along(v, to, -torch.ones_like(to), reads)


def mirrored(
    v: Float[Tensor, "blocks n"], at: Float[Tensor, " blocks"], reads: Reads = "output"
) -> AffineField:
    """`p' = 2 at - p`: the state's mirror image in the hyperplane; twice is the identity."""
    return along(v, 2 * at, torch.full_like(at, -2.0), reads)


def scaled(
    v: Float[Tensor, "blocks n"],
    gain: Float[Tensor, " blocks"],
    plus: Float[Tensor, " blocks"],
    reads: Reads = "output",
) -> AffineField:
    """`p' = gain p + plus`: an affine setpoint; with `plus` zero a gain."""
    return along(v, plus, gain - 1, reads)
