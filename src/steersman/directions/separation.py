"""How far apart two sides are along their own direction, measured out of sample.

Along a direction read from a few examples in thousands of dimensions, those very examples always
look well separated. So the direction comes from some folds and the distance from the others.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from steersman.directions.observer import MeanDifference, Observer, read_states
from steersman.errors import InputError, ShapeError


class Separation(NamedTuple):
    """d' of each state and its standard error, both `(states,)`."""

    d: Float[Tensor, " states"]
    se: Float[Tensor, " states"]


def separation(
    desired: Float[Tensor, "desired states n"],
    undesired: Float[Tensor, "undesired states n"],
    *,
    observer: Observer | None = None,
    folds: int = 5,
    seed: int = 0,
) -> Separation:
    """Cross-fitted d' along what an observer reads, for each state.

    With `c_f` the mean difference in fold `f`, `b_f` that of all the other folds, `w_f` the unit
    direction that the observer reads in these (`b_f/|b_f|` for the mean difference) and
    `z = w_f' x` for `x` in fold `f`,

        d' = mean_f w_f'c_f / s,   s^2 = variance of z within sides and folds, pooled over the sides
        se^2 = phi (s_d^2 / N_d + s_u^2 / N_u) / s^2 + d'^2 / (2 df)
        phi = rho (2 - rho)^2 + 2 (1 - rho),   rho = mean_f w_f'c_f / w_f'b_f, within 0 and 1

    `rho` is the share of the direction that is signal. Where it is one, `phi = 1` and the direction
    may be taken as given; where it is noise, each example helps to choose the others' direction,
    and the folds vary together. The first order of `d'` in the noise of the means, for noise that
    is alike in all axes, gives `phi`; whitening makes it alike.

    The expectation of d' is 0 where there is no contrast. It is d' along the direction as it could
    be read from these examples, so less than along the true one where examples are few. Where
    both sides have equally many, the same rows are left out of both, so that a pair is never split.

    Args:
        desired: states of the desired examples, `(N_d, states, n)`.
        undesired: states of the undesired examples, `(N_u, states, n)`.
        observer: along what; None is along the mean difference.
        folds: at most so many; fewer where a fold would have less than two examples of a side.
        seed: decides the folds.

    Returns:
        d' and its standard error, float64. Below four examples of a side nothing can be measured:
        d' is 0 and the error infinite. So it is where all examples have the same state.

    Raises:
        InputError: less than two folds.
        ShapeError: the two sides have different states.

    Source:
        The variance of a standardised mean difference along a given direction: Hedges and Olkin,
        Statistical Methods for Meta-Analysis (1985), chapter 5. `phi` is ours.
    """
    if folds < 2:
        raise InputError(f"folds is {folds}; at least 2 are needed to measure out of sample.")
    require_same_states(desired, undesired)
    sides = (desired, undesired)
    states = desired.shape[1]
    folds = min(folds, *(len(side) // 2 for side in sides))
    if folds < 2:
        nothing = torch.zeros(states, dtype=torch.float64)
        return Separation(nothing, torch.full_like(nothing, torch.inf))
    found = _out_of_sample(sides, observer or MeanDifference(), folds, seed)
    return _standardised(found, (len(desired), len(undesired)), _floor(sides))


def require_same_states(desired: Tensor, undesired: Tensor) -> None:
    """Raise `ShapeError` unless both sides are `(examples, states, n)` with the same states."""
    for name, side in (("desired", desired), ("undesired", undesired)):
        if side.ndim != 3:
            raise ShapeError(
                f"{name} has shape {tuple(side.shape)}; expected (examples, states, n)."
            )
    if desired.shape[1:] != undesired.shape[1:]:
        raise ShapeError(
            f"desired states are {tuple(desired.shape[1:])} and undesired ones "
            f"{tuple(undesired.shape[1:])}; both need the same (states, n)."
        )


def resolution(dtype: torch.dtype) -> float:
    """Relative to the size of the states, what is taken for rounding."""
    return 8 * torch.finfo(dtype).eps


def state_size(states: Float[Tensor, "examples states n"]) -> Float[Tensor, " states"]:
    """The root mean square length of each state, in float64."""
    lengths = states.square().sum(-1, dtype=torch.float64)
    return lengths.mean(0).sqrt()


class _OutOfSample(NamedTuple):
    """`mean_f w_f'c_f`, `rho` before it is bounded, and each side's variance with all freedom."""

    shift: Float[Tensor, " states"]
    share: Float[Tensor, " states"]
    variances: Float[Tensor, "sides states"]
    freedom: int


def _out_of_sample(
    sides: tuple[Tensor, Tensor], observer: Observer, folds: int, seed: int
) -> _OutOfSample:
    numbers = [_fold_numbers(len(side), folds, seed) for side in sides]
    shifts, shares, squares = [], [], []
    for fold in range(folds):
        held = [side[number == fold] for side, number in zip(sides, numbers, strict=True)]
        rest = [side[number != fold] for side, number in zip(sides, numbers, strict=True)]
        b = rest[0].mean(0, dtype=torch.float64) - rest[1].mean(0, dtype=torch.float64)
        w = torch.nn.functional.normalize(read_states(observer, rest[0], rest[1]), dim=-1)
        z = [torch.einsum("esn,sn->es", part, w.to(part)).double() for part in held]
        shifts.append(z[0].mean(0) - z[1].mean(0))
        # Where the other folds show no contrast, none of what this one shows was known beforehand.
        known = (w * b).sum(-1)
        shares.append(torch.where(known != 0, shifts[-1] / known, 0.0))
        squares.append(torch.stack([(one - one.mean(0)).square().sum(0) for one in z]))
    freedom = torch.tensor([[len(side) - folds] for side in sides])
    variances = torch.stack(squares).sum(0) / freedom
    shift, share = torch.stack(shifts).mean(0), torch.stack(shares).mean(0)
    return _OutOfSample(shift, share, variances, int(freedom.sum()))


def _standardised(
    found: _OutOfSample, counts: tuple[int, int], floor: Float[Tensor, " states"]
) -> Separation:
    N = torch.tensor([[count] for count in counts])
    folds = (sum(counts) - found.freedom) // 2
    pooled = ((N - folds) * found.variances).sum(0) / found.freedom
    pooled = pooled.clamp(min=floor.square())
    d = found.shift / pooled.sqrt()
    rho = found.share.clamp(0.0, 1.0)
    phi = rho * (2 - rho).square() + 2 * (1 - rho)
    se = (phi * (found.variances / N).sum(0) / pooled + d.square() / (2 * found.freedom)).sqrt()
    constant = found.shift.abs() <= floor
    return Separation(d.masked_fill(constant, 0.0), se.masked_fill(constant, torch.inf))


def _floor(sides: tuple[Tensor, Tensor]) -> Float[Tensor, " states"]:
    """The smallest spread and shift that is not rounding; keeps d' finite without any spread."""
    size = torch.maximum(*(state_size(side) for side in sides))
    return (size * resolution(sides[0].dtype)).clamp(min=torch.finfo(torch.float64).tiny ** 0.5)


def _fold_numbers(count: int, folds: int, seed: int) -> Int[Tensor, " examples"]:
    """Which fold each example is in; the sizes differ by one at most."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order % folds
