"""Means over prompts, and over pairs of prompts, with their standard errors."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Mean(NamedTuple):
    """A mean and its standard error, NaN where it cannot be known.

    Attributes:
        mean: of what is known.
        se: over prompts.
    """

    mean: Float[Tensor, "..."]
    se: Float[Tensor, "..."]


def over_prompts(values: Float[Tensor, "*axes"], axis: int) -> Mean:
    """The mean along an axis of prompts, and the standard error of it, NaN left out.

    Args:
        values: any.
        axis: the one of the prompts.
    """
    known = ~values.isnan()
    count = known.sum(dim=axis).to(values)
    mean = values.nanmean(dim=axis)
    deviation = (values - mean.unsqueeze(axis)).masked_fill(~known, 0.0)
    variance = deviation.square().sum(dim=axis) / (count - 1)
    se = (variance / count).sqrt()
    return Mean(mean, se.masked_fill(count < 2, torch.nan))


def over_pairs(
    values: Float[Tensor, "*blocks prompts prompts"], chosen: Bool[Tensor, "prompts prompts"]
) -> Mean:
    """The mean over chosen pairs of prompts, and its jackknife standard error.

        se^2 = (P - 1) / P  sum_i (m_i - mean of m)^2,     m_i: prompt i left out

    Pairs that share a prompt are not independent; leaving out prompts, not pairs, allows for it.

    Args:
        values: one number for every two prompts, symmetric.
        chosen: which pairs count, symmetric; a prompt with itself never does.

    Source:
        Efron and Stein (1981), The jackknife estimate of variance.
    """
    prompts = values.shape[-1]
    pairs = chosen & ~torch.eye(prompts, dtype=torch.bool)
    mean = _mean(values, pairs)
    involved = [i for i in range(prompts) if bool(pairs[i].any())]
    left = [_mean(values, _without(pairs, i)) for i in involved]
    if len(left) < 2:
        return Mean(mean, torch.full_like(mean, torch.nan))
    without = torch.stack(left)
    spread = (without - without.mean(dim=0)).square().sum(dim=0)
    return Mean(mean, (spread * (len(left) - 1) / len(left)).sqrt())


def _without(pairs: Tensor, prompt: int) -> Tensor:
    kept = pairs.clone()
    kept[prompt] = kept[:, prompt] = False
    return kept


def _mean(values: Tensor, pairs: Tensor) -> Tensor:
    return values[..., pairs].nanmean(dim=-1)
