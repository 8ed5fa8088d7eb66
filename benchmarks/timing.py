"""Two sides timed in turn, A B A B, and compared pair by pair.

A busy machine slows both sides of a pair alike, so the ratio of a pair says more than the ratio of
two medians. Processor time of a single thread says more still: it leaves out the time in which
somebody else's work ran, and on a quiet machine it is the time by the clock.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

Side = Callable[[], object]


class Seconds(NamedTuple):
    """How long something took, by the clock and of the processor."""

    clock: float
    processor: float


def taken_by(side: Side) -> Seconds:
    """Time one run."""
    clock, processor = time.perf_counter(), time.process_time()
    side()
    return Seconds(time.perf_counter() - clock, time.process_time() - processor)


def alternate(first: Side, second: Side, pairs: int) -> tuple[list[Seconds], list[Seconds]]:
    """`pairs` runs of each side, in turn, after one run of each that does not count."""
    first()
    second()
    raw: tuple[list[Seconds], list[Seconds]] = ([], [])
    for _ in range(pairs):
        for side, taken in zip((first, second), raw, strict=True):
            taken.append(taken_by(side))
    return raw


def columns(taken: Sequence[Seconds]) -> dict[str, list[float]]:
    """The raw timings, as they are written down."""
    return {"clock": [t.clock for t in taken], "processor": [t.processor for t in taken]}


def ratios(over: Sequence[Seconds], under: Sequence[Seconds]) -> dict[str, list[float]]:
    """`over / under`, pair by pair, by both clocks."""
    above, below = columns(over), columns(under)
    return {name: [a / b for a, b in zip(above[name], below[name], strict=True)] for name in above}


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
