"""From states of desired and undesired examples to their contrast and the feature that shows it."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from steersman.directions.direction import Direction
from steersman.directions.observer import MeanDifference, Observer, read_states
from steersman.directions.separation import (
    require_same_states,
    resolution,
    separation,
    state_size,
)
from steersman.errors import InputError, NumericalError

LEAST_SLOPE = 1e-3
"""The least cosine of a push and what is observed; below, the push would be all side effect."""


def contrast(
    desired: Float[Tensor, "desired states n"],
    undesired: Float[Tensor, "undesired states n"],
    *,
    observer: Observer | None = None,
    direction: Observer | None = None,
    folds: int = 5,
    seed: int = 0,
) -> Direction:
    """Read a direction from the states of contrastive examples.

        m_t = mean(x_t | desired) - mean(x_t | undesired)
        c_t = m_t,                           v_t = m_t / |m_t|        by default
        c_t = d_t (v_t' m_t) / (v_t' d_t),   v_t = d_t / |d_t|        along a rule's direction d_t

    and `v_t` is another one where an observer is given. Either way `v_t' c_t = v_t' m_t`: one unit
    of the feature is what the means differ by on it. Means are taken in float64. A state at which
    the sides differ by no more than rounding has `c_t = v_t = 0`, as the embedding does where every
    example ends in the same token; so has one along whose direction `d_t` desired examples do not
    lie above undesired ones.

    Args:
        desired: states `x_0 .. x_T` of the desired examples, `(N_d, states, n)`, on the CPU.
        undesired: the same of the undesired ones, `(N_u, states, n)`.
        observer: along what the feature is observed; None is along what is pushed along.
        direction: along what is pushed; None is the difference of the means.
        folds: how many folds the separation is measured with.
        seed: decides these folds.

    Returns:
        The direction, in float64 where the states are, else in float32.

    Raises:
        ShapeError: the two sides have different states.
        InputError: a side has no examples, there is no contrast at any state, or a rule needs
            more examples, or finds nothing at any state that could be pushed along and observed.
        NumericalError: a state is not finite; names the example and the state.

    Source:
        A-LQR (arXiv 2604.19018), section 4; CAA (arXiv 2312.06681), equation 1.
    """
    _check(desired, undesired)
    sides = [side if side.dtype == torch.float64 else side.float() for side in (desired, undesired)]
    means = [side.mean(0, dtype=torch.float64) for side in sides]
    difference = means[0] - means[1]
    size = torch.maximum(*(state_size(side) for side in sides))
    rounding = difference.norm(dim=-1) <= size * resolution(sides[0].dtype)
    if bool(rounding.all()):
        raise InputError(
            "the desired and the undesired states are the same at every block, so there is no "
            "direction: give examples that differ, and read them after they differ."
        )
    along = MeanDifference() if direction is None else direction
    rule = along if observer is None else observer
    difference = difference.masked_fill(rounding.unsqueeze(-1), 0.0)
    seen = read_states(rule, sides[0], sides[1], ~rounding)
    vectors = torch.nn.functional.normalize(seen, dim=-1)
    norm = (vectors * difference).sum(-1)
    # An observer may find that nothing it can see tells the sides apart.
    unseen = norm <= size * resolution(sides[0].dtype)
    push = difference
    if not isinstance(along, MeanDifference):
        d = seen if along is rule else read_states(along, sides[0], sides[1], ~rounding)
        push, unmoved = _in_units(d, vectors, norm)
        unseen = unseen | unmoved
        push = push.masked_fill(unseen.unsqueeze(-1), 0.0)
    if bool(unseen.all()):
        raise InputError(_nothing(along, rule))
    vectors = vectors.masked_fill(unseen.unsqueeze(-1), 0.0)
    apart = separation(sides[0], sides[1], observer=rule, folds=folds, seed=seed)
    tensors = (
        push,
        vectors,
        norm.masked_fill(unseen, 0.0),
        (vectors * means[1]).sum(-1),
        apart.d.masked_fill(unseen, 0.0),
        apart.se,
    )
    return Direction(*(tensor.to(sides[0].dtype) for tensor in tensors))


def _in_units(
    d: Float[Tensor, "states n"], v: Float[Tensor, "states n"], unit: Float[Tensor, " states"]
) -> tuple[Float[Tensor, "states n"], Bool[Tensor, " states"]]:
    """`d_t` as long as moves `v_t' x` by one unit, and where it does not move it upwards at all."""
    d = torch.nn.functional.normalize(d, dim=-1)
    slope = (v * d).sum(-1)
    unmoved = slope <= LEAST_SLOPE
    return d * (unit / slope.masked_fill(unmoved, 1.0)).unsqueeze(-1), unmoved


def _nothing(along: Observer, rule: Observer) -> str:
    """What to say where a rule leaves no state to steer at."""
    if along is rule:
        found = f"{rule.name!r} finds no direction along which desired examples lie above undesired"
    else:
        found = f"nothing that {along.name!r} pushes along is what {rule.name!r} observes"
    return f"{found}, at any state: use 'mean', or give more examples that differ in one thing."


def _check(desired: Tensor, undesired: Tensor) -> None:
    require_same_states(desired, undesired)
    for name, side in (("desired", desired), ("undesired", undesired)):
        if not len(side):
            raise InputError(f"there are no {name} states: give at least one example of each side.")
        finite = side.isfinite().all(-1)
        if not bool(finite.all()):
            example, state = (~finite).nonzero()[0].tolist()
            raise NumericalError(
                f"{name} example {example} has NaN or infinite values at state {state}; load the "
                "model in float32 or bfloat16, or leave the example out."
            )
