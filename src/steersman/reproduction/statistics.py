"""Scores of numbers that there is one of for each prompt, or each trial."""

from collections.abc import Sequence
from math import isfinite, sqrt

from steersman.evaluation.scores import Score, Value, mean_of


def mean(values: Sequence[float]) -> Score:
    """Their mean and its standard error; what is not finite is missing.

    Args:
        values: one for each prompt.
    """
    known = [Value(float(v), 0, place) for place, v in enumerate(values) if isfinite(v)]
    return mean_of(known, 1, missing=len(values) - len(known))


def root_mean_square(values: Sequence[float]) -> Score:
    """`sqrt(mean x^2)`, with `se = se(mean x^2) / (2 rms)`, to first order.

    Args:
        values: one for each prompt.
    """
    squares = mean([v * v for v in values])
    found = sqrt(squares.mean) if squares.mean >= 0 else squares.mean
    se = squares.se / (2 * found) if found else float("nan")
    return Score(found, se, float("nan"), squares.count, squares.missing, (found,))


def exact(value: float, se: float = float("nan"), count: int = 1) -> Score:
    """A number by itself.

    Args:
        value: it.
        se: its standard error; NaN where unknown.
        count: how many values it is of.
    """
    return Score(value, se, float("nan"), count, 0, (value,))
