"""Every strength that was tried: what was written there, and what it is worth."""

import time
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from steersman.calibration.aims import Aim
from steersman.calibration.effects import divergence, perplexity_ratio, relative_effort
from steersman.calibration.interval import interval
from steersman.calibration.result import Calibration, Point
from steersman.calibration.writing import Writer, Written
from steersman.errors import NumericalError
from steersman.estimates import Estimate


class Trials:
    """Writes at one strength after the other, and keeps what came of each.

    Args:
        aim: what is measured.
        along: the target of each feature at strength 1; None for one feature.
        writer: what writes; the bare model first.
        bare_at_zero: whether strength 0 is known to leave the model alone.
        show: told in words of every strength.
    """

    def __init__(
        self,
        aim: Aim,
        along: Mapping[str, float] | None,
        writer: Writer,
        bare_at_zero: bool,
        show: Callable[[str], Any],
    ) -> None:
        """Let the bare model write."""
        self._aim, self._along, self._writer, self._show = aim, along, writer, show
        started = time.perf_counter()
        self._plain = writer.write(None)
        self.seconds = time.perf_counter() - started
        self._written: dict[float, Written] = {0.0: self._plain} if bare_at_zero else {}
        self._found: dict[float, Estimate] = {}

    def gap(self, strength: float) -> float:
        """How far the aim is from being met at a strength.

        Raises:
            NumericalError: the logits there are not finite.
        """
        if strength not in self._written:
            try:
                self._written[strength] = self._writer.write(strength)
            except NumericalError as error:
                raise NumericalError(f"at strength {strength:g}: {error}") from error
        found = self._aim.estimate(self._written[strength], self._plain)
        self._found[strength] = found
        self._show(f"strength {strength:.3g}: {found}")
        return self._aim.gap(found.value)

    @property
    def curve(self) -> tuple[Point, ...]:
        """Every strength with its value, from 0 on."""
        order = sorted(self._found, key=abs)
        return tuple(Point(s, self._found[s].value, self._found[s].se) for s in order)

    def effort(self, strength: float) -> Estimate:
        """The relative effort at a strength that was tried."""
        return relative_effort(self._written[strength], self._plain)

    def result(
        self, strength: float, *, met: bool, crosses: bool, notes: tuple[str, ...]
    ) -> Calibration:
        """The calibration that ends at a strength that was tried.

        Args:
            strength: which.
            met: whether the aim is met there.
            crosses: whether the curve crosses the level.
            notes: what a person should know.
        """
        seen, found = self._written[strength], self._found[strength]
        known = crosses and isfinite(found.se)
        return Calibration(
            aim=self._aim,
            along=self._along,
            met=met,
            strength=strength,
            interval=interval(self._aim, self.curve, found.se) if known else None,
            value=found.value,
            se=found.se,
            curve=self.curve,
            divergence=divergence(seen),
            perplexity=perplexity_ratio(seen, self._plain),
            effort=self.effort(strength),
            notes=notes,
            prompts=len(seen.prompts),
            new_tokens=self._writer.new_tokens,
            seed=self._writer.seed,
        )
