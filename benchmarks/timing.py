"""Two sides timed in turn, A B A B, and compared pair by pair.

A busy machine slows both sides of a pair alike, so the ratio of a pair says more than the ratio of
two medians.
"""

import statistics
import time
from collections.abc import Callable, Sequence

Side = Callable[[], object]


def alternate(first: Side, second: Side, pairs: int) -> tuple[list[float], list[float]]:
    """Seconds of `pairs` runs of each side, in turn, after one run of each that does not count."""
    first()
    second()
    raw: tuple[list[float], list[float]] = ([], [])
    for _ in range(pairs):
        for side, taken in zip((first, second), raw, strict=True):
            start = time.perf_counter()
            side()
            taken.append(time.perf_counter() - start)
    return raw


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """`over / under`, pair by pair."""
    return [a / b for a, b in zip(over, under, strict=True)]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, quartiles and extremes."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {
        "median": middle,
        "quartile_low": low,
        "quartile_high": high,
        "least": min(values),
        "most": max(values),
    }
