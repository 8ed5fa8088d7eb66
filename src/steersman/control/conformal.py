"""Split conformal prediction: a bound that holds whatever the distribution is."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.errors import InputError, NumericalError


def conformal_bound(scores: Float[Tensor, "prompts *many"], level: float) -> Float[Tensor, "*many"]:
    """The number that a new score exceeds with probability at most `1 - level`.

        q = the ceil((N + 1) level)-th smallest of N scores        P( score_{N+1} <= q ) >= level

    Exact for every distribution and every `N`, where the new prompt is exchangeable with the `N`
    that were scored, as independent draws from one source are. The probability is over all `N + 1`
    of them: what one set of scores covers is itself random, `Beta(j, N + 1 - j)` with `j` the rank
    that is taken (where ties have no chance).

    Args:
        scores: one for each prompt, `(prompts,)`, or several side by side, each by itself.
        level: the probability, between zero and one.

    Raises:
        InputError: a level that cannot be, or more than so many prompts can give.
        NumericalError: a score is NaN.

    Source:
        Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, chapter 2; Lei et al.,
        Distribution-Free Predictive Inference for Regression (2018).
    """
    rank = _rank(len(scores), level)
    if bool(scores.isnan().any()):
        raise NumericalError("a score is NaN: what was measured is not finite.")
    return torch.sort(scores, dim=0).values[rank - 1]


def prompts_needed(level: float) -> int:
    """The fewest prompts that a level can be had with: `ceil(level / (1 - level))`.

    Raises:
        InputError: the level is not between zero and one.
    """
    _require_level(level)
    return math.ceil(level / (1 - level) - 1e-9)


def _rank(count: int, level: float) -> int:
    _require_level(level)
    # A level such as 0.95 is not exactly representable: 20 * 0.95 must be 19.
    rank = math.ceil((count + 1) * level - 1e-9)
    if rank > count:
        raise InputError(
            f"level {level:g} needs at least {prompts_needed(level)} calibration prompts; {count} "
            f"give at most {count / (count + 1):.3f}. Give more prompts, or ask for less."
        )
    return rank


def _require_level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"level is {level}; it must be between 0 and 1, such as 0.95.")
