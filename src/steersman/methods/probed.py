"""What a linear probe says of the output of each block: a direction, a boundary, two sides."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.directions import Observer
from steersman.methods.evidence import Sides


class Probed(NamedTuple):
    """`p(desired | x) = sigma(slope (v'x - boundary))` behind each block, float64.

    A block that was not asked for, or whose probe knows nothing, has zeros.

    Attributes:
        v: unit vectors, `(blocks, n)`.
        slope: the length of the probe's weights, `(blocks,)`.
        boundary: where both sides are equally likely, `(blocks,)`.
        desired: mean of `v'x` over the desired examples, `(blocks,)`.
        undesired: over the undesired ones.
        spread: standard deviation of `v'x` over the desired ones.
    """

    v: Float[Tensor, "blocks n"]
    slope: Float[Tensor, " blocks"]
    boundary: Float[Tensor, " blocks"]
    desired: Float[Tensor, " blocks"]
    undesired: Float[Tensor, " blocks"]
    spread: Float[Tensor, " blocks"]


def probed(sides: Sides, rule: Observer, blocks: Sequence[int]) -> Probed:
    """The probe of each block's output.

    The rule gives the weights `w`; of a logistic regression whose intercept is not penalised, the
    intercept follows from them, because at the optimum the mean probability is the share of desired
    examples. So any rule whose weights are those of a logistic regression will do.

    Args:
        sides: the examples' states.
        rule: reads the weights of one state.
        blocks: which blocks.
    """
    states = sides.desired.shape[1] - 1
    v = torch.zeros(states, sides.desired.shape[2], dtype=torch.float64)
    numbers = torch.zeros(5, states, dtype=torch.float64)
    for block in blocks:
        desired, undesired = (side[:, block + 1].double() for side in sides)
        w = rule.read(desired, undesired)
        slope = w.norm()
        if not bool(slope > 0):
            continue
        v[block] = w / slope
        up, down = desired @ v[block], undesired @ v[block]
        boundary = _boundary(torch.cat([up, down]), float(slope), len(up))
        found = (slope, boundary, up.mean(), down.mean(), up.std(correction=0))
        numbers[:, block] = torch.stack(list(found))
    return Probed(v, *numbers)


def _boundary(p: Float[Tensor, " examples"], slope: float, desired: int) -> Float[Tensor, ""]:
    """`c` with `mean sigma(slope (p - c)) = desired / examples`, by bisection."""
    share = torch.tensor(desired / len(p), dtype=p.dtype)
    reach = share.logit().abs() / slope + 1 / slope
    low, high = p.min() - reach, p.max() + reach
    for _ in range(100):
        middle = (low + high) / 2
        above = torch.sigmoid(slope * (p - middle)).mean() > share
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return (low + high) / 2
