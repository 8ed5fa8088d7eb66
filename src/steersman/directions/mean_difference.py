"""From states of desired and undesired examples to their contrast and the feature that shows it."""

import torch
from jaxtyping import Float
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


def contrast(
    desired: Float[Tensor, "desired states n"],
    undesired: Float[Tensor, "undesired states n"],
    *,
    observer: Observer | None = None,
    folds: int = 5,
    seed: int = 0,
) -> Direction:
    """Read a direction from the states of contrastive examples.

        c_t = mean(x_t | desired) - mean(x_t | undesired),   v_t = c_t / |c_t| or another observer

    Means are taken in float64. A state at which the sides differ by no more than rounding has
    `c_t = v_t = 0`, as the embedding does where every example ends in the same token.

    Args:
        desired: states `x_0 .. x_T` of the desired examples, `(N_d, states, n)`, on the CPU.
        undesired: the same of the undesired ones, `(N_u, states, n)`.
        observer: along what the feature is observed; None is along the contrast itself.
        folds: how many folds the separation is measured with.
        seed: decides these folds.

    Returns:
        The direction, in float64 where the states are, else in float32.

    Raises:
        ShapeError: the two sides have different states.
        InputError: a side has no examples, there is no contrast at any state, or the observer
            needs more examples.
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
    rule = MeanDifference() if observer is None else observer
    difference = difference.masked_fill(rounding.unsqueeze(-1), 0.0)
    seen = read_states(rule, sides[0], sides[1], ~rounding)
    vectors = torch.nn.functional.normalize(seen, dim=-1)
    norm = (vectors * difference).sum(-1)
    # An observer may find that nothing it can see tells the sides apart.
    unseen = norm <= size * resolution(sides[0].dtype)
    vectors = vectors.masked_fill(unseen.unsqueeze(-1), 0.0)
    apart = separation(sides[0], sides[1], observer=rule, folds=folds, seed=seed)
    tensors = (
        difference,
        vectors,
        norm.masked_fill(unseen, 0.0),
        (vectors * means[1]).sum(-1),
        apart.d.masked_fill(unseen, 0.0),
        apart.se,
    )
    return Direction(*(tensor.to(sides[0].dtype) for tensor in tensors))


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
