"""A mean with two standard errors: over prompts, and over seeds."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import isfinite, nan, sqrt
from statistics import fmean, stdev


@dataclass(frozen=True)
class Score:
    """A mean over prompts and seeds.

    It has an error over each of the two, which answer different questions: how much other prompts
    would change it, and how much other fits and draws would. What failed is counted beside it.

    Args:
        mean: over all values.
        se: its standard error over prompts; NaN where unknown.
        se_seeds: its standard error over seeds; NaN for one seed.
        count: how many values it is of: one for each prompt of each seed.
        missing: how many samples should have had a value and have none, because a judge failed or
            the value is not finite.
        by_seed: the mean of each seed, in their order; NaN where it has none.
    """

    mean: float
    se: float
    se_seeds: float
    count: int
    missing: int = 0
    by_seed: tuple[float, ...] = ()

    def __str__(self) -> str:
        """Mean and standard error over prompts, and what is missing."""
        error = f" +- {self.se:.3f}" if isfinite(self.se) else ""
        missing = f" ({self.missing} missing)" if self.missing else ""
        return f"{self.mean:.3f}{error}{missing}"


@dataclass(frozen=True)
class Value:
    """One value.

    Args:
        value: it.
        seed: which seed it is of, counted from 0.
        prompt: which prompt it is of.
    """

    value: float
    seed: int
    prompt: Hashable


def mean_of(values: Sequence[Value], seeds: int, missing: int = 0) -> Score:
    """The mean, with a standard error that holds where a prompt occurs under several seeds.

        se^2 = C / (C - 1)  sum_c ( sum_{i in c} (x_i - mean) )^2 / N^2

    over the C different prompts c; for prompts that each occur once that is the usual one.

    Args:
        values: finite numbers.
        seeds: how many seeds there are.
        missing: how many samples have no value.
    """
    each = [[one.value for one in values if one.seed == seed] for seed in range(seeds)]
    by_seed = tuple(fmean(found) if found else nan for found in each)
    if not values:
        return Score(nan, nan, nan, 0, missing, by_seed)
    mean = fmean(one.value for one in values)
    clusters: dict[Hashable, float] = {}
    for one in values:
        clusters[one.prompt] = clusters.get(one.prompt, 0.0) + one.value - mean
    found = [value for value in by_seed if isfinite(value)]
    return Score(
        mean=mean,
        se=_clustered(list(clusters.values()), len(values)),
        se_seeds=stdev(found) / sqrt(len(found)) if len(found) > 1 else nan,
        count=len(values),
        missing=missing,
        by_seed=by_seed,
    )


def over_seeds(values: Sequence[float]) -> Score:
    """The mean of numbers that there is one of for each seed, such as the variety of all texts."""
    numbers = [Value(v, seed, seed) for seed, v in enumerate(values) if isfinite(v)]
    found = mean_of(numbers, len(values), missing=len(values) - len(numbers))
    return Score(found.mean, nan, found.se_seeds, found.count, found.missing, found.by_seed)


def _clustered(residuals: Sequence[float], count: int) -> float:
    clusters = len(residuals)
    if clusters < 2:
        return nan
    return sqrt(clusters / (clusters - 1) * sum(r * r for r in residuals)) / count
