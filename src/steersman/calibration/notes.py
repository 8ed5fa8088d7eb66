"""What a person should know of a calibration before using its strength."""

from collections.abc import Sequence
from itertools import combinations
from math import hypot, isfinite

from steersman.calibration.aims import Aim
from steersman.calibration.bisection import Bracket
from steersman.calibration.result import Point


def notes_on(
    aim: Aim, curve: Sequence[Point], found: Bracket, *, tolerance: float, idle: bool
) -> tuple[str, ...]:
    """What to know of what was found.

    Args:
        aim: what was asked for.
        curve: the points tried, from strength 0 on.
        found: between which of them the aim begins or ceases to be met.
        tolerance: how narrow that was to be.
        idle: whether nothing was added to any token, even at the last point.
    """
    if found.holds is None and found.fails == 0:
        return (f"it is {curve[0].value:.3g} at strength 0 already: no strength will do.",)
    if found.holds == 0 and found.fails is None:
        return ("the score is there without steering.",)
    said = _wide(found, tolerance)
    if found.holds is not None:
        said += _turning(aim, curve)
    if idle:
        said.append("the steering acts on no token of these prompts and texts.")
    elif found.holds is None:
        said.append(_unreached(aim, curve))
    elif found.fails is None:
        said.append(
            f"the budget is not used up at strength {found.holds:g}, the largest that was tried: "
            "raise maximum to go on."
        )
    elif found.holds == 0:
        said.append(f"strength {found.fails:.2g} is too much already, and none below was tried.")
    return tuple(said)


def best_of(aim: Aim, curve: Sequence[Point]) -> Point:
    """The point closest to what is asked for, the weakest of equal ones."""
    return min(curve, key=lambda point: (aim.gap(point.value), abs(point.strength)))


def turning(aim: Aim, curve: Sequence[Point]) -> tuple[Point, Point] | None:
    """The two points between which the curve goes back furthest; None where it is monotone.

    A budget is used up, and a score reached, as the strength grows. What goes the other way by no
    more than the standard error of a difference is taken for chance.

    Args:
        aim: what the values are of.
        curve: points from strength 0 on.
    """
    opens = aim.gap(curve[0].value) <= 0
    furthest, found = 0.0, None
    for before, after in combinations(curve, 2):
        back = aim.gap(before.value) - aim.gap(after.value)
        back = back if opens else -back
        if back > max(furthest, hypot(*(p.se if isfinite(p.se) else 0.0 for p in (before, after)))):
            furthest, found = back, (before, after)
    return found


def _turning(aim: Aim, curve: Sequence[Point]) -> list[str]:
    found = turning(aim, curve)
    if found is None:
        return []
    ends = " and ".join(f"{point.value:.3g} at strength {point.strength:.3g}" for point in found)
    return [f"the curve is not monotone: {ends}. The search keeps to what it meets first."]


def _wide(found: Bracket, tolerance: float) -> list[str]:
    if found.holds is None or found.fails is None:
        return []
    ends = sorted((found.holds, found.fails), key=abs)
    if not ends[0] or abs(ends[1] - ends[0]) <= tolerance * abs(ends[1]):
        return []
    return [
        f"evaluations ran out: between strength {ends[0]:.3g} and {ends[1]:.3g} nothing was tried."
    ]


def _unreached(aim: Aim, curve: Sequence[Point]) -> str:
    best, last = best_of(aim, curve), curve[-1]
    told = f"not reached up to strength {last.strength:g}; best is {best.value:.3g} "
    told += f"+- {best.se:.2g} at {best.strength:.3g}"
    if best is last:
        return f"{told}, the largest that was tried: raise maximum to go on."
    if best is curve[0]:
        return f"{told}: no strength made it better. A maximum below zero steers the other way."
    return f"{told}, and no better beyond."
