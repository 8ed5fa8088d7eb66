"""Where a function of the strength changes side, by doubling and halving; knows no model."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, isnan

from steersman.errors import InputError, NumericalError

Gap = Callable[[float], float]
"""How far a strength is from meeting an aim; it is met, and the gap closed, at zero and below."""

RUNGS = 5
"""Strengths that are tried on the way up, each twice the one before."""
FEWEST = RUNGS + 2
"""Evaluations that are enough to reach the top and to halve once."""


@dataclass(frozen=True)
class Bracket:
    """The two tried strengths between which it changes whether the gap is closed.

    Args:
        holds: where it is closed; None where it is so nowhere.
        fails: where it is open; None where it is so nowhere.
    """

    holds: float | None
    fails: float | None


def largest(gap: Gap, maximum: float, *, tolerance: float, evaluations: int) -> Bracket:
    """The largest strength up to which the gap is closed, for gaps that open with the strength.

        gap(s) <= 0  at every tried s up to `holds`      gap(s) > 0  at every tried s from `fails`

    Doubling from `maximum / 16` finds the first rung at which the gap is open, so that no opening
    wider than a rung is stepped over; halving then narrows the change down.

    Args:
        gap: asked for 0 first, and never twice for the same strength.
        maximum: the end of the search; below zero searches downwards.
        tolerance: how wide the bracket may be, as a share of its end away from 0.
        evaluations: how often the gap is asked for at most.

    Returns:
        The bracket: `holds` is None where the gap is open at 0 already, `fails` is None where it is
        closed up to the maximum. It is wider than the tolerance where evaluations ran out.

    Raises:
        InputError: as `require_range`.
        NumericalError: the gap is NaN; names the strength.
    """
    probe = _Probe(gap, maximum, tolerance, evaluations)
    if not probe.closed(0.0):
        return Bracket(None, 0.0)
    near, far = _climb(probe, maximum, closed=True)
    if far is None:
        return Bracket(near, None)
    return Bracket(*_halve(probe, near, far, tolerance))


def smallest(gap: Gap, maximum: float, *, tolerance: float, evaluations: int) -> Bracket:
    """The smallest strength at which the gap is closed, for gaps that close with the strength.

        gap(s) > 0  at every tried s up to `fails`       gap(s) <= 0  at `holds`

    As `largest`. Where the gap is open on every rung, the places beside the best strength are
    looked at, 0 among them: a gap that closes for a while and opens again is found there, and so is
    one below the first rung, as far as evaluations reach.

    Args:
        gap: asked for 0 first, and never twice for the same strength.
        maximum: the end of the search; below zero searches downwards.
        tolerance: how wide the bracket may be, as a share of its end away from 0.
        evaluations: how often the gap is asked for at most.

    Returns:
        The bracket: `holds` is 0 where the gap is closed without any strength, and None where it
        was found closed nowhere.

    Raises:
        InputError: as `require_range`.
        NumericalError: the gap is NaN; names the strength.
    """
    probe = _Probe(gap, maximum, tolerance, evaluations)
    if probe.closed(0.0):
        return Bracket(0.0, None)
    near, far = _climb(probe, maximum, closed=False)
    if far is None:
        near, far = _beside_the_best(probe, tolerance)
    if far is None:
        return Bracket(None, maximum)
    fails, holds = _halve(probe, near, far, tolerance)
    return Bracket(holds, fails)


def require_range(maximum: float, tolerance: float, evaluations: int) -> None:
    """Refuse what cannot be searched.

    Raises:
        InputError: a maximum that is zero or not finite, a tolerance that is not between 0 and 1,
            too few evaluations.
    """
    if not isfinite(maximum) or maximum == 0:
        raise InputError(f"maximum is {maximum}; it must be a finite strength other than 0.")
    if not 0 < tolerance < 1:
        raise InputError(f"tolerance is {tolerance}; it must be between 0 and 1.")
    if evaluations < FEWEST:
        raise InputError(f"evaluations is {evaluations}; at least {FEWEST} are needed.")


class _Probe:
    """Asks for the gap, counts how often, and keeps the answers."""

    def __init__(self, gap: Gap, maximum: float, tolerance: float, evaluations: int) -> None:
        require_range(maximum, tolerance, evaluations)
        self._gap = gap
        self._left = evaluations
        self.known: dict[float, float] = {}

    @property
    def exhausted(self) -> bool:
        return self._left <= 0

    def closed(self, strength: float) -> bool:
        if strength not in self.known:
            self._left -= 1
            found = self._gap(strength)
            if isnan(found):
                raise NumericalError(f"the value at strength {strength:g} is NaN.")
            self.known[strength] = found
        return self.known[strength] <= 0


def _climb(probe: _Probe, maximum: float, *, closed: bool) -> tuple[float, float | None]:
    """The last rung on the side of 0, and the first on the other side."""
    near = 0.0
    for rung in range(RUNGS - 1, -1, -1):
        strength = maximum / 2**rung
        if probe.closed(strength) is not closed:
            return near, strength
        near = strength
    return near, None


def _halve(probe: _Probe, near: float, far: float, tolerance: float) -> tuple[float, float]:
    """The same change of side between two strengths that are closer together."""
    beyond = probe.closed(far)
    while abs(far - near) > tolerance * abs(far) and not probe.exhausted:
        middle = near + (far - near) / 2
        if probe.closed(middle) is beyond:
            far = middle
        else:
            near = middle
    return near, far


def _beside_the_best(probe: _Probe, tolerance: float) -> tuple[float, float | None]:
    """A strength with a closed gap beside the best one, and the one before it."""
    while not probe.exhausted:
        tried = sorted(probe.known, key=abs)
        best = min(tried, key=lambda strength: probe.known[strength])
        place = tried.index(best)
        around = tried[max(place - 1, 0) : place] + tried[place + 1 : place + 2]
        widest = max(around, key=lambda strength: abs(strength - best))
        if abs(widest - best) <= tolerance * abs(best):
            break
        middle = best + (widest - best) / 2
        if probe.closed(middle):
            return (best if abs(best) < abs(middle) else tried[place - 1]), middle
    return 0.0, None
