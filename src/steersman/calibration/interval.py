"""How well a strength is known, from how well the values are."""

from collections.abc import Sequence
from itertools import pairwise

from steersman.calibration.aims import Aim
from steersman.calibration.result import Point

Interval = tuple[float, float]


def interval(aim: Aim, curve: Sequence[Point], se: float) -> Interval:
    """The strengths that the level cannot be told apart from, with one standard error either way.

        { s : |value(s) - level| <= se }

    Other prompts move the whole curve up or down by about the standard error, and with it the
    strength at which it crosses the level. Between points the curve is taken to be straight.

    Args:
        aim: what the values are of.
        curve: points from strength 0 on, which cross the level.
        se: of the value at the crossing.

    Returns:
        The ends, that nearer to 0 first; the last point tried where the curve does not come one
        standard error beyond the level.
    """
    course = 1.0 if aim.gap(curve[0].value) <= 0 else -1.0
    path = [(point.strength, course * aim.gap(point.value)) for point in curve]
    return _first(path, -se), _first(path, se)


def _first(path: Sequence[tuple[float, float]], height: float) -> float:
    """Where a path that starts low first comes to a height."""
    if path[0][1] >= height:
        return path[0][0]
    for (s, low), (t, high) in pairwise(path):
        if low < height <= high:
            return s + (t - s) * (height - low) / (high - low)
    return path[-1][0]
