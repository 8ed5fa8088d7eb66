"""Did a text move where it was asked to, and only there? Steerability in a space of goals.

Every text is a point, each of its coordinates one attribute scaled to [0, 1]: `z_0` is where the
source was, `z*` where it should go, `z^` where it went. Attributes of which nothing was asked have
`z* = z_0`.

Published code rounds some of these points into bins and not others, so that a text which does
exactly what was asked can score an error. Here all three points are taken as they are: who wants
bins applies the same ones to all three.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from steersman.errors import InputError
from steersman.evaluation.metrics.aggregates import Aggregate, aggregate
from steersman.evaluation.metrics.statistics import Values

Points = Float[np.ndarray, "texts goals"]
"""One row a text, one column an attribute."""


@dataclass(frozen=True, eq=False)
class Steerability:
    """How far every text ended from where it should have.

    Args:
        error: distance from the target.
        miscalibration: error along what was asked, in shares of it; NaN where nothing was asked.
        side_effect: share of the movement that was across what was asked.
    """

    error: Float[np.ndarray, " texts"]
    miscalibration: Float[np.ndarray, " texts"]
    side_effect: Float[np.ndarray, " texts"]

    def summary(self) -> dict[str, Aggregate]:
        """Mean, median, quartiles and count of each."""
        return {
            "error": aggregate(self.error),
            "miscalibration": aggregate(self.miscalibration),
            "side_effect": aggregate(self.side_effect),
        }


def steerability(source: Points, wanted: Points, obtained: Points) -> Steerability:
    """Steering error, miscalibration and side effects of every text.

        e = z* - z^,   m = z* - z_0
        error           = |e|
        miscalibration  = |<e, m>| / |m|^2
        side effect     = |e - (<e, m> / |m|^2) m| / |z^ - z_0|      0 where nothing moved

    0 is best for all three. Half of what was asked, and nothing else, has miscalibration 0.5 and no
    side effect; movement that has nothing to do with what was asked has side effect 1. Where
    nothing was asked (`m = 0`), miscalibration is NaN and any movement is side effect.

    Args:
        source: `z_0`.
        wanted: `z*`.
        obtained: `z^`.

    Raises:
        InputError: the shapes differ, or a coordinate is not finite.
    """
    points = {"source": source, "wanted": wanted, "obtained": obtained}
    for name, these in points.items():
        if these.ndim != 2 or these.shape != source.shape:
            raise InputError(
                f"{name} has shape {these.shape} and source {source.shape}: give one row a text "
                "and one column a goal."
            )
        if not np.isfinite(these).all():
            row = int(np.flatnonzero(~np.isfinite(these).all(axis=1))[0])
            raise InputError(f"{name} is not finite in row {row}: leave that text out and say so.")
    e, m, moved = wanted - obtained, wanted - source, obtained - source
    along, asked = (e * m).sum(axis=1), (m * m).sum(axis=1)
    share = np.divide(along, asked, out=np.zeros_like(along), where=asked > 0)
    across = np.linalg.norm(e - share[:, None] * m, axis=1)
    length = np.linalg.norm(moved, axis=1)
    off = np.divide(across, length, out=np.zeros_like(across), where=length > 0)
    return Steerability(
        error=np.linalg.norm(e, axis=1),
        miscalibration=np.where(asked > 0, np.abs(share), np.nan),
        # Rounding alone can carry it above 1.
        side_effect=np.minimum(off, 1.0),
    )


@dataclass(frozen=True)
class AskedObtained:
    """What was obtained over what was asked, `obtained = intercept + slope asked`.

    Args:
        slope: 1 where one unit more asked is one unit more obtained.
        intercept: what is obtained where 0 is asked; 0 is best.
        gap: root mean square of obtained less asked.
        count: how many pairs.
        missing: pairs left out, because what was obtained is NaN.
    """

    slope: float
    intercept: float
    gap: float
    count: int
    missing: int


def asked_obtained(asked: Values, obtained: Values) -> AskedObtained:
    """How well a method gives what it is asked for, over several targets.

        slope, intercept: least squares of obtained over asked
        gap = sqrt( mean (obtained - asked)^2 )

    Args:
        asked: targets in natural units.
        obtained: what came out, in the same units; NaN is left out and counted.

    Raises:
        InputError: the lengths differ, a target is not finite, or fewer than two targets differ.
    """
    x, y = np.asarray(asked, dtype=np.float64), np.asarray(obtained, dtype=np.float64)
    if x.shape != y.shape:
        raise InputError(f"{len(x)} targets were asked and {len(y)} values obtained.")
    if not np.isfinite(x).all():
        raise InputError("a target that was asked is not finite.")
    known = ~np.isnan(y)
    x, y = x[known], y[known]
    if len(set(x.tolist())) < 2:
        raise InputError("a slope needs two different targets at least.")
    centred = x - x.mean()
    slope = float((centred * y).sum() / (centred * centred).sum())
    return AskedObtained(
        slope=slope,
        intercept=float(y.mean() - slope * x.mean()),
        gap=float(np.sqrt(np.mean((y - x) ** 2))),
        count=len(x),
        missing=int((~known).sum()),
    )
