"""Many numbers in a few: mean, spread, quantiles and shape, NaN counted and left out."""

from dataclasses import asdict, dataclass, fields
from math import nan

import numpy as np
from jaxtyping import Float
from scipy import stats

from steersman.evaluation.metrics.statistics import Values


@dataclass(frozen=True)
class Aggregate:
    """What many numbers are like; NaN where there are too few of them.

    Args:
        mean: their mean.
        std: standard deviation, with n - 1 below the line.
        minimum: the smallest.
        q25: a quarter is below.
        median: half is below.
        q75: three quarters are below.
        maximum: the largest.
        skew: third standardised moment.
        kurtosis: fourth standardised moment less 3, so that a normal distribution has 0.
        count: how many there are.
        missing: how many were NaN.
    """

    mean: float
    std: float
    minimum: float
    q25: float
    median: float
    q75: float
    maximum: float
    skew: float
    kurtosis: float
    count: int
    missing: int

    @property
    def iqr(self) -> float:
        """Distance of the quartiles."""
        return self.q75 - self.q25

    @property
    def range(self) -> float:
        """Distance of the extremes."""
        return self.maximum - self.minimum

    def over(self, other: "Aggregate") -> dict[str, float]:
        """Ratio to another aggregate, such as that of the unsteered run; NaN over 0.

        Args:
            other: what to divide by.
        """
        mine, theirs = asdict(self), asdict(other)
        return {
            name: mine[name] / theirs[name] if theirs[name] else nan
            for name in ("mean", "std", "minimum", "q25", "median", "q75", "maximum")
        }


def aggregate(values: Values) -> Aggregate:
    """Mean, spread, quantiles and shape of numbers.

    Args:
        values: any number of them; NaN is counted and left out.
    """
    given = np.asarray(values, dtype=np.float64)
    known = given[~np.isnan(given)]
    missing = len(given) - len(known)
    if len(known) == 0:
        empty = {field.name: nan for field in fields(Aggregate)}
        return Aggregate(**{**empty, "count": 0, "missing": missing})  # type: ignore[arg-type]
    low, q25, median, q75, high = (float(q) for q in np.quantile(known, [0, 0.25, 0.5, 0.75, 1]))
    skew, kurtosis = _shape(known)
    return Aggregate(
        mean=float(known.mean()),
        std=float(known.std(ddof=1)) if len(known) > 1 else nan,
        minimum=low,
        q25=q25,
        median=median,
        q75=q75,
        maximum=high,
        skew=skew,
        kurtosis=kurtosis,
        count=len(known),
        missing=missing,
    )


def _shape(values: Float[np.ndarray, " known"]) -> tuple[float, float]:
    """Skewness and excess kurtosis; NaN where all values are equal."""
    if np.ptp(values) == 0:
        return nan, nan
    return float(stats.skew(values)), float(stats.kurtosis(values))
