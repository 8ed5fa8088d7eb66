"""A number with its interval: bootstrap over prompts, whatever the number is."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import nan
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy import stats

from steersman.errors import InputError

Values = Sequence[float | int] | Shaped[np.ndarray, " rows"]
"""One number a row; NaN where there is none."""
Labels = Sequence[Hashable] | Shaped[np.ndarray, " rows"]
Prompts = Labels | None
"""The prompt that each row belongs to; None where every row has one of its own."""
Interval = Literal["bca", "percentile"]

BATCH = 500
"""Draws at a time, which bounds the memory they take."""


@dataclass(frozen=True)
class Estimate:
    """A number of any kind with an interval, which need not lie evenly about it.

    Unlike a mean with its standard error it holds for skewed numbers, and for those that are no
    means, such as a correlation.

    Args:
        value: of all rows.
        se: its standard error, of the bootstrap.
        low: where its interval begins.
        high: where it ends.
        count: prompts that it is of.
        missing: rows that were left out, because they hold NaN.
        level: how often an interval made like this holds the truth.
    """

    value: float
    se: float
    low: float
    high: float
    count: int
    missing: int = 0
    level: float = 0.95

    def __str__(self) -> str:
        """Value and interval."""
        left = f", {self.missing} missing" if self.missing else ""
        return (
            f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}] "
            f"at {self.level:.0%}, {self.count} prompts{left}"
        )


def estimate(
    values: Values,
    prompts: Prompts = None,
    *,
    interval: Interval = "bca",
    level: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
) -> Estimate:
    """The mean of all rows, with an interval from drawing prompts again with replacement.

        mean = sum_p sum_i y_pi / sum_p n_p        p: prompts,  i: the n_p rows of a prompt

    A prompt is drawn with all of its rows, so that several seeds of one prompt do not count as
    several prompts.

    Args:
        values: one number a row; NaN is left out and counted.
        prompts: the prompt of each row.
        interval: "bca", corrected for bias and skewness, or "percentile".
        level: how often an interval made like this is to hold the truth.
        resamples: how often prompts are drawn again.
        seed: of that draw.

    Returns:
        The estimate; without an interval (NaN) where fewer than two prompts have a number.

    Raises:
        InputError: rows and prompts do not match, a value is infinite, or an unknown interval.
    """
    columns, labels, missing = kept([values], prompts)
    sums, counts = totals(columns[0], labels)
    value = float(sums.sum() / counts.sum()) if len(sums) else nan
    if len(sums) < 2:
        return Estimate(value, nan, nan, nan, len(sums), missing, level)
    if np.ptp(sums / counts) == 0:
        return Estimate(value, 0.0, value, value, len(sums), missing, level)
    found = bootstrap((sums, counts), ratio, interval, level, resamples, seed)
    return _read(found, value, len(sums), missing, level)


def estimate_of(
    statistic: Callable[[Int[np.ndarray, " drawn"]], float],
    prompts: Labels,
    *,
    interval: Interval = "bca",
    level: float = 0.95,
    resamples: int = 1999,
    seed: int = 0,
) -> Estimate:
    """Any number of some rows, with an interval from drawing prompts again with replacement.

    Args:
        statistic: of the rows with these indices, which may come more than once.
        prompts: the prompt of each row.
        interval: as in `estimate`.
        level: as in `estimate`.
        resamples: how often prompts are drawn again.
        seed: of that draw.

    Raises:
        InputError: there are fewer than two prompts, or an unknown interval.
    """
    _, places = _numbered(prompts)
    members = [np.flatnonzero(places == place) for place in range(len(set(places.tolist())))]
    if len(members) < 2:
        raise InputError(f"an interval needs two prompts at least; there are {len(members)}.")

    def drawn(chosen: Shaped[np.ndarray, " prompts"]) -> float:
        return statistic(np.concatenate([members[int(place)] for place in chosen]))

    data = (np.arange(len(members)),)
    value = drawn(data[0])
    found = bootstrap(data, drawn, interval, level, resamples, seed, vectorized=False)
    return _read(found, value, len(members), 0, level)


def correlation(
    first: Values,
    second: Values,
    prompts: Prompts = None,
    *,
    interval: Interval = "bca",
    level: float = 0.95,
    resamples: int = 1999,
    seed: int = 0,
) -> Estimate:
    """Spearman's rank correlation of two columns, with an interval over prompts.

    A draw in which a column is constant counts as 0.

    Args:
        first: one number a row; rows with NaN in either column are left out and counted.
        second: the other.
        prompts: the prompt of each row.
        interval: as in `estimate`.
        level: as in `estimate`.
        resamples: how often prompts are drawn again.
        seed: of that draw.

    Raises:
        InputError: the lengths differ, a value is infinite, or there are fewer than two prompts.
    """
    columns, labels, missing = kept([first, second], prompts)
    found = estimate_of(
        partial(_spearman, *columns),
        labels,
        interval=interval,
        level=level,
        resamples=resamples,
        seed=seed,
    )
    return replace(found, missing=missing)


def kept(
    columns: Sequence[Values], prompts: Prompts
) -> tuple[list[Float[np.ndarray, " kept"]], list[Hashable], int]:
    """Columns without the rows that hold NaN, their prompts, and how many rows were left out.

    Raises:
        InputError: lengths differ, or a value is infinite.
    """
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    labels = list(range(len(arrays[0]))) if prompts is None else list(prompts)
    lengths = [*map(len, arrays), len(labels)]
    if len(set(lengths)) > 1:
        raise InputError(
            f"columns of {', '.join(map(str, lengths[:-1]))} rows and {lengths[-1]} prompts do not "
            "belong together: give one value and one prompt a row."
        )
    for array in arrays:
        if np.isinf(array).any():
            row = int(np.flatnonzero(np.isinf(array))[0])
            raise InputError(f"row {row} is infinite: nothing can be averaged with it.")
    whole = np.flatnonzero(~np.isnan(np.stack(arrays)).any(axis=0))
    missing = len(labels) - len(whole)
    return [array[whole] for array in arrays], [labels[row] for row in whole], missing


def totals(
    values: Float[np.ndarray, " rows"], prompts: Labels
) -> tuple[Float[np.ndarray, " prompts"], Float[np.ndarray, " prompts"]]:
    """Sum and number of the rows of each prompt, in the order in which prompts first appear."""
    count, places = _numbered(prompts)
    sums = np.bincount(places, weights=values, minlength=count)
    return sums.astype(np.float64), np.bincount(places, minlength=count).astype(np.float64)


def bootstrap(
    data: tuple[Shaped[np.ndarray, " prompts"], ...],
    statistic: Callable[..., Any],
    interval: Interval,
    level: float,
    resamples: int,
    seed: int,
    *,
    vectorized: bool = True,
) -> Any:
    """SciPy's bootstrap with everything of a prompt drawn together.

    Raises:
        InputError: an unknown interval.
    """
    if interval not in get_args(Interval):
        raise InputError(f"interval is {interval!r}; choose bca or percentile.")
    drawn = partial(
        stats.bootstrap,
        data,
        statistic,
        paired=len(data) > 1,
        confidence_level=level,
        batch=BATCH if vectorized else None,
        vectorized=vectorized,
    )
    plain = drawn(method="percentile", n_resamples=resamples, rng=np.random.default_rng(seed))
    if interval == "percentile" or np.ptp(plain.bootstrap_distribution) == 0:
        return plain
    return drawn(method="BCa", n_resamples=0, bootstrap_result=plain)


def ratio(
    sums: Float[np.ndarray, "*draws prompts"],
    counts: Float[np.ndarray, "*draws prompts"],
    axis: int = -1,
) -> Any:
    """The mean over all rows, from what each prompt has of them."""
    return sums.sum(axis) / counts.sum(axis)


def _read(found: Any, value: float, count: int, missing: int, level: float) -> Estimate:
    low, high = (float(end) for end in found.confidence_interval)
    return Estimate(value, float(found.standard_error), low, high, count, missing, level)


def _numbered(prompts: Labels) -> tuple[int, Int[np.ndarray, " rows"]]:
    """How many prompts there are, and the place of each row's."""
    numbers: dict[Hashable, int] = {}
    places = [numbers.setdefault(prompt, len(numbers)) for prompt in prompts]
    return len(numbers), np.asarray(places, dtype=np.int64)


def _spearman(
    first: Float[np.ndarray, " rows"],
    second: Float[np.ndarray, " rows"],
    rows: Int[np.ndarray, " drawn"],
) -> float:
    one, other = stats.rankdata(first[rows]), stats.rankdata(second[rows])
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
