"""The harmonic score of a steered answer, with the strength chosen on other instructions.

A judge gives an answer three marks of 0, 1 or 2: whether it shows the concept, whether it follows
the instruction, whether it is fluent. The harmonic mean is 0 as soon as one of them is. The
strength is chosen on one half of the instructions and reported on the other, so that the report
does not gain by the choice.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from steersman.errors import InputError
from steersman.evaluation.metrics.statistics import Estimate, Values, estimate

TOP_MARK = 2.0


def harmonic(
    concept: Values, instruction: Values, fluency: Values
) -> Float[np.ndarray, " answers"]:
    """Harmonic mean of the three marks of every answer; 0 where one of them is 0, at most 2.

        score = 3 / (1/C + 1/I + 1/F)

    Args:
        concept: C of every answer, from 0 to 2; NaN where the judge failed, and so is the score.
        instruction: I.
        fluency: F.

    Raises:
        InputError: there are not three marks for every answer, or one is not between 0 and 2.
    """
    columns = [np.asarray(marks, dtype=np.float64) for marks in (concept, instruction, fluency)]
    if len({column.shape for column in columns}) > 1:
        raise InputError(
            f"there are {', '.join(str(len(column)) for column in columns)} marks for concept, "
            "instruction and fluency: give one of each for every answer."
        )
    marks = np.stack(columns)
    outside = marks[(marks < 0) | (marks > TOP_MARK)]
    if outside.size:
        raise InputError(f"a mark is {outside[0]:g}; marks are from 0 to {TOP_MARK:g}.")
    with np.errstate(divide="ignore"):
        return np.asarray(len(marks) / (1.0 / marks).sum(axis=0))


@dataclass(frozen=True)
class HeldOut:
    """A strength that was chosen on some instructions, and its score on the others.

    Args:
        factor: the chosen strength.
        chosen: its mean score on the instructions it was chosen on, which is too high.
        reported: its score on the others, with an interval over them.
        chosen_on: the instructions it was chosen on.
        reported_on: the others.
    """

    factor: float
    chosen: float
    reported: Estimate
    chosen_on: tuple[int, ...]
    reported_on: tuple[int, ...]


def held_out(scores: Mapping[float, Values], *, seed: int = 0) -> HeldOut:
    """Choose a strength on one half of the instructions and report it on the other half.

        factor = argmax_f mean_{i in first half} score_f(i)

    Of equal means the smallest strength wins. With an odd number of instructions the half that
    reports has one more. All strengths share the halves.

    Args:
        scores: of every strength, one score for every instruction, in the same order; NaN counts as
            missing, and a strength without any score on the first half is not chosen.
        seed: of the halves.

    Raises:
        InputError: no strength, fewer than two instructions, different numbers of them, or no score
            to choose by.
    """
    counts = sorted({len(one) for one in scores.values()})
    if len(counts) != 1 or counts[0] < 2:
        raise InputError(
            f"there are {len(scores)} strengths with {counts} scores: give every strength a score "
            "for each of the same instructions, two at least."
        )
    order = np.random.default_rng(seed).permutation(counts[0])
    first, second = np.sort(order[: counts[0] // 2]), np.sort(order[counts[0] // 2 :])
    columns = {factor: np.asarray(scores[factor], dtype=np.float64) for factor in sorted(scores)}
    known = {f: column[first] for f, column in columns.items() if np.isfinite(column[first]).any()}
    if not known:
        raise InputError("no strength has a score on the half that it would be chosen on.")
    means = {factor: float(np.nanmean(column)) for factor, column in known.items()}
    best = max(means, key=lambda factor: means[factor])
    return HeldOut(
        factor=best,
        chosen=means[best],
        reported=estimate(columns[best][second], seed=seed),
        chosen_on=tuple(first.tolist()),
        reported_on=tuple(second.tolist()),
    )
