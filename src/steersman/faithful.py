"""Does a steering move what it says it moves? Judged by states and a probe of other examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isnan, nan, sqrt
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.data import AlignedPairs, ContrastivePairs, Example
from steersman.diagnostics import Cell, Diagnostic
from steersman.directions import Direction, Naturalness, Observer, Probe, observer_named
from steersman.engines import Tokens
from steersman.errors import InputError
from steersman.methods import ExecutionName, ReferenceName
from steersman.plant import Positions, capture_states
from steersman.reading import Examples
from steersman.steering import Steering

LEAST_AGREEMENT = 0.7
"""An independent probe has to move by this share of what the feature does."""
MOST_EXCESS = 1.5
"""How many times as far from natural states as natural states are themselves."""
FOLDS = 2


@dataclass(frozen=True)
class StateFaithfulness:
    """What the push did to one state, each with its standard error over prompts.

    Attributes:
        state: `t` of `x_t`.
        feature: by how many natural units the steered feature moved.
        feature_se: its error.
        probe: by how many an independent probe did.
        probe_se: its error.
        agreement: `probe / feature`; NaN where the feature does not move.
        agreement_se: its error.
        unsteered: how far unsteered states are from what natural states show, root mean square in
            their own spread.
        unsteered_se: its error.
        pushed: how far steered states are.
        pushed_se: its error.
        desired: how far desired examples are.
        desired_se: its error.
    """

    state: int
    feature: float
    feature_se: float
    probe: float
    probe_se: float
    agreement: float
    agreement_se: float
    unsteered: float
    unsteered_se: float
    pushed: float
    pushed_se: float
    desired: float
    desired_se: float

    @property
    def excess(self) -> float:
        """How many times as far out steered states are as unsteered or desired ones."""
        return self.pushed / max(self.unsteered, self.desired)


@dataclass(frozen=True)
class Faithfulness:
    """Whether a steering moves its feature as examples do, or by a way of its own.

    Args:
        target: what was asked.
        rows: `x_1 .. x_T`.
        examples: how many pairs it was judged by.
    """

    target: float
    rows: tuple[StateFaithfulness, ...]
    examples: int

    @property
    def agreement(self) -> float:
        """By what share of the feature's shift an independent probe moves after the last block."""
        return self.rows[-1].agreement

    @property
    def excess(self) -> float:
        """The largest excess of any state."""
        return max(row.excess for row in self.rows)

    @property
    def agrees(self) -> bool:
        """Whether what else tells the examples apart moves with the feature."""
        last = self.rows[-1]
        return last.agreement + 2 * last.agreement_se >= LEAST_AGREEMENT

    @property
    def natural(self) -> bool:
        """Whether steered states stay about as close to natural ones as these are."""
        return self.excess <= MOST_EXCESS

    @property
    def faithful(self) -> bool:
        """Whether nothing speaks against the steering."""
        return self.agrees and self.natural

    @property
    def verdict(self) -> str:
        """What it comes to, in a sentence."""
        last = self.rows[-1]
        moved = (
            f"where the feature moves by {last.feature:.2f} units, an independent probe moves by "
            f"{last.probe:.2f} +- {last.probe_se:.2f}"
        )
        worst = max(self.rows, key=lambda row: row.excess)
        out = f"steered states are {worst.excess:.1f} times as far from natural ones as these are"
        if not self.agrees:
            return (
                f"Unfaithful: {moved}, and {out} (state {worst.state}): the feature is moved, and "
                "what else the examples show is not. Act along the contrast, or observe the mean."
            )
        if not self.natural:
            return (
                f"Doubtful: {moved}, but {out} (state {worst.state}): the push uses directions "
                "that natural states hardly use. Measure the behaviour before relying on it, or "
                "act along the contrast."
            )
        return f"Faithful: {moved}, and {out} at most (state {worst.state})."

    @property
    def table(self) -> Diagnostic:
        """All numbers as a table."""
        names = ("feature", "probe", "agreement", "unsteered", "pushed", "desired")
        rows: list[tuple[Cell, ...]] = [
            (row.state, *(_shown(row, name) for name in names), f"{row.excess:.2f}")
            for row in self.rows
        ]
        return Diagnostic("Faithfulness", self.verdict, ("state", *names, "excess"), tuple(rows))

    def summary(self) -> str:
        """The table and the verdict, for a person."""
        lines = [list(self.table.columns), *self.table.texts()]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        table = "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            for line in lines
        )
        return f"{table}\n{self.verdict}"


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


def _shown(row: StateFaithfulness, name: str) -> str:
    value, se = getattr(row, name), getattr(row, f"{name}_se")
    return "" if isnan(value) else f"{value:.2f} +- {se:.2f}"
