"""A steering judged on examples that it was not fitted on, by states and by another probe."""

from collections.abc import Sequence
from math import inf, nan, sqrt
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.data import AlignedPairs, ContrastivePairs, Example
from steersman.directions import Direction, Naturalness, Observer, Probe, observer_named
from steersman.engines import Tokens
from steersman.errors import InputError
from steersman.faithful.result import Faithfulness, StateFaithfulness
from steersman.methods import ExecutionName, ReferenceName
from steersman.plant import Positions, capture_states
from steersman.reading import Examples
from steersman.steering import Steering

FOLDS = 2


def faithfulness(
    steering: Steering,
    model: nn.Module,
    tokenizer: Any,
    pairs: ContrastivePairs | AlignedPairs,
    *,
    prompts: Sequence[Example] | None = None,
    target: float = 1.0,
    feature: str | None = None,
    probe: str | Observer | None = None,
    positions: str | Positions | None = None,
    tokens: Tokens | None = None,
    reference: ReferenceName | None = None,
    execution: ExecutionName | None = None,
    batch_size: int = 16,
    progress: bool = True,
) -> Faithfulness:
    """Whether a steering moves its feature as natural examples do.

        agreement_t = mean p_t' delta_t / p_t'c_t  over  mean v_t' delta_t / v_t'c_t
        excess_t    = D(x_t steered) / max(D(x_t unsteered), D(x_t desired))

    `delta_t` is what the steering does to the state `x_t`, `p_t` a probe and `D` the Mahalanobis
    distance from the line between the means of natural states (`Naturalness`), both learnt from one
    half of the pairs and applied to the other, in turn. Least effort in directions that natural
    states never use moves a feature for next to nothing, and the behaviour not at all: then the
    probe stays behind, or the steered states lie far out, or both.

    Args:
        steering: what to judge.
        model: the model that it was made for.
        tokenizer: its tokenizer.
        pairs: examples that the steering was not fitted on; eight of each side or more.
        prompts: what to steer; None takes the undesired examples.
        target: how much, in natural units; not zero.
        feature: which, where the steering has several.
        probe: what tells the sides apart instead of the feature; None is a logistic regression.
        positions: at which tokens; None is where the steering was read, or the continuation of
            aligned pairs. They have to be among those that are steered.
        tokens: as in `Steering.attach`, and so are the next two.
        reference: see there.
        execution: see there.
        batch_size: examples at a time.
        progress: show how far it is.

    Returns:
        Numbers for `x_1 .. x_T`, with standard errors over prompts, and a verdict.

    Raises:
        InputError: too few examples, a target of zero, a feature that there is not, the steering
            does not act where it is read, or sides that the probe cannot tell apart.
        MismatchError: the model is another one.
        NumericalError: states that are not finite.
    """
    if not target:
        raise InputError("target is 0: nothing is pushed. Ask for what you are going to use.")
    features = steering.features if feature is None else steering.features.only(feature)
    direction = features.one
    judge = observer_named(probe) if isinstance(probe, str) else probe or Probe()
    examples = _examples(steering, pairs, positions)

    def read(texts: Sequence[Example], openings: Sequence[str] | None) -> Tensor:
        return capture_states(
            model,
            tokenizer,
            texts,
            examples.positions,
            batch_size=batch_size,
            prompts=openings,
            progress=progress,
        )

    (desired, undesired), own = (read(*side) for side in examples.sides()), examples.sides()[1]
    steered = own if prompts is None else (prompts, None)
    asked = undesired if prompts is None else read(*steered)
    attached = steering.attach(
        model,
        target if len(steering.features) == 1 else {features.names[0]: target},
        tokens=tokens,
        reference=reference,
        execution=execution,
        trace=False,
    )
    with attached:
        pushed = read(*steered)
    _require_pushed(pushed - asked, direction)
    rows = [
        _judged(
            state, direction, judge, *(s[:, state] for s in (desired, undesired, asked, pushed))
        )
        for state in range(1, direction.states)
    ]
    return Faithfulness(float(target), tuple(rows), min(len(desired), len(undesired)))


def _examples(
    steering: Steering, pairs: ContrastivePairs | AlignedPairs, positions: str | Positions | None
) -> Examples:
    """The pairs, and where they are read.

    Raises:
        InputError: too few of them.
    """
    usual = None if isinstance(pairs, AlignedPairs) else steering.provenance.positions
    examples = Examples.of(pairs, usual if positions is None else positions)
    count = min(len(examples.pairs.desired), len(examples.pairs.undesired))
    if count < 4 * FOLDS:
        raise InputError(
            f"{count} examples of a side cannot judge a steering: give {4 * FOLDS} or more of each."
        )
    return examples


def _require_pushed(delta: Float[Tensor, "rows states n"], direction: Direction) -> None:
    moved = (delta[:, -1] @ direction.vectors[-1].to(delta)).mean() / direction.norm[-1]
    if not abs(float(moved)) > 1e-3:
        raise InputError(
            f"the steering moves its feature by {float(moved):.1g} units where these examples are "
            "read: it does not act there. Read other positions, or steer tokens='all'."
        )


def _judged(
    state: int,
    direction: Direction,
    probe: Observer,
    desired: Float[Tensor, "desired n"],
    undesired: Float[Tensor, "undesired n"],
    asked: Float[Tensor, "rows n"],
    pushed: Float[Tensor, "rows n"],
) -> StateFaithfulness:
    """One state, by halves that are learnt from and judged in turn."""
    sides = [side.double() for side in (desired, undesired, asked, pushed)]
    probed: list[Tensor] = []
    far: tuple[list[Tensor], ...] = ([], [], [])
    for fold in range(FOLDS):
        learnt = [side[torch.arange(len(side)) % FOLDS != fold] for side in sides[:2]]
        found = Naturalness.of(learnt[0], learnt[1], probe)
        d, _, x, y = (side[torch.arange(len(side)) % FOLDS == fold] for side in sides)
        probed.append(found.moved(y - x))
        for into, states in zip(far, (x, y, d), strict=True):
            into.append(found.distances(states))
    order = torch.cat([torch.arange(fold, len(asked), FOLDS) for fold in range(FOLDS)])
    f = (sides[3] - sides[2])[order] @ direction.vectors[state].double()
    f = f / float(direction.norm[state] or nan)
    p = torch.cat(probed)
    unsteered, steered, wanted = (_root(torch.cat(one)) for one in far)
    return StateFaithfulness(
        state, *_mean(f), *_mean(p), *_ratio(p, f), *unsteered, *steered, *wanted
    )


def _mean(values: Float[Tensor, " rows"]) -> tuple[float, float]:
    """Mean and its standard error; that of one value is not known."""
    se = float(values.std()) / sqrt(len(values)) if len(values) > 1 else inf
    return float(values.mean()), se


def _root(squares: Float[Tensor, " rows"]) -> tuple[float, float]:
    """Root of the mean and, to first order, its standard error."""
    mean, se = _mean(squares)
    return sqrt(mean), se / (2 * sqrt(mean)) if mean > 0 else inf


def _ratio(above: Float[Tensor, " rows"], below: Float[Tensor, " rows"]) -> tuple[float, float]:
    """Ratio of the means and, to first order, its standard error; NaN over nothing."""
    whole = float(below.mean())
    if not abs(whole) > 1e-3:
        return nan, nan
    ratio = float(above.mean()) / whole
    return ratio, _mean(above - ratio * below)[1] / abs(whole)
