"""What a steering gains on what it is for, and what it moves of everything else.

Every benchmark's score is in [0, 1] and higher is better, before (`y`) and after (`y_s`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from steersman.errors import InputError

Scores = Mapping[str, float]


@dataclass(frozen=True)
class Entanglement:
    """Root mean square change over the benchmarks that a steering is not for.

    Args:
        overall: of all changes; `overall^2 = positive^2 + negative^2`.
        positive: with falls counted as 0.
        negative: with rises counted as 0.
    """

    overall: float
    positive: float
    negative: float


def effectiveness(before: Scores, after: Scores) -> float:
    """Mean share of the room for improvement that was used, over what the steering is for.

        effectiveness = mean_b (y_s(b) - y(b)) / (1 - y(b))

    1 is perfect, 0 no change, below 0 worse than before.

    Args:
        before: unsteered score of each benchmark, by name.
        after: steered score of the same benchmarks.

    Raises:
        InputError: no benchmarks, other ones before and after, a score outside [0, 1], or one that
            leaves no room.
    """
    names = _checked(before, after)
    full = [name for name in names if before[name] == 1]
    if full:
        raise InputError(f"{full[0]!r} is 1 before steering, which leaves nothing to gain.")
    return float(np.mean([(after[n] - before[n]) / (1 - before[n]) for n in names]))


def entanglement(before: Scores, after: Scores) -> Entanglement:
    """Root mean square change of benchmarks that should have stayed as they were.

        overall  = sqrt( mean_b d_b^2 )              d_b = y_s(b) - y(b)
        positive = sqrt( mean_b max(d_b, 0)^2 )
        negative = sqrt( mean_b min(d_b, 0)^2 )

    All three means are over all benchmarks.

    Args:
        before: unsteered score of each benchmark, by name.
        after: steered score of the same benchmarks.

    Raises:
        InputError: no benchmarks, other ones before and after, or a score outside [0, 1].
    """
    d = np.array([after[name] - before[name] for name in _checked(before, after)])

    def root(changes: np.ndarray) -> float:
        return float(np.sqrt(np.mean(changes**2)))

    return Entanglement(root(d), root(np.maximum(d, 0)), root(np.minimum(d, 0)))


def _checked(before: Scores, after: Scores) -> list[str]:
    """The benchmarks' names, once their scores make sense."""
    if set(before) != set(after) or not before:
        other = sorted(set(before) ^ set(after))
        found = f"{', '.join(map(repr, other))} on one side only" if other else "no benchmark"
        raise InputError(f"there is {found}: give the same benchmarks before and after.")
    for name in before:
        for when, score in (("before", before[name]), ("after", after[name])):
            if not 0 <= score <= 1:
                raise InputError(f"{name!r} is {score} {when} steering; scores are from 0 to 1.")
    return list(before)
