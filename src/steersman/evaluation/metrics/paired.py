"""Is one method better than another on the same prompts? Paired tests, and Holm's correction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from steersman.errors import InputError
from steersman.evaluation.metrics.statistics import (
    BATCH,
    Estimate,
    Interval,
    Prompts,
    Values,
    bootstrap,
    estimate,
    kept,
    ratio,
    totals,
)


@dataclass(frozen=True)
class Comparison:
    """The first method less the second, and how surprising that is if they do not differ.

    Args:
        effect: mean difference, with its interval.
        p: of the two-sided test.
        test: which test.
    """

    effect: Estimate
    p: float
    test: str

    def __str__(self) -> str:
        """Effect, interval and p."""
        return f"{self.effect}, p = {self.p:.2g} ({self.test})"


def sign_flip(
    first: Values,
    second: Values,
    prompts: Prompts = None,
    *,
    interval: Interval = "bca",
    level: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
) -> Comparison:
    """Permutation test: if the methods do not differ, a prompt may as well have swapped them.

        p = share of signs s in {-1, 1}^P with |sum_p s_p d_p| >= |sum_p d_p|

    with `d_p` the difference summed over the rows of prompt `p`. Exact where there are no more
    than `resamples` ways to choose the signs (13 prompts by default); otherwise over that many
    draws, the observed one among them.

    Args:
        first: one number a row; rows with NaN in either are left out and counted.
        second: the other method, row by row on the same prompts.
        prompts: the prompt of each row.
        interval: of the effect, as in `estimate`.
        level: of the effect's interval.
        resamples: draws of signs, and of prompts for the interval.
        seed: of the draws.

    Raises:
        InputError: rows do not match, or a value is infinite.
    """
    effect, sums, _ = _differences(first, second, prompts, interval, level, resamples, seed)
    if len(sums) == 0:
        return Comparison(effect, nan, "sign-flip")
    found = stats.permutation_test(
        (sums,),
        _total,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=BATCH,
        rng=np.random.default_rng(seed),
    )
    return Comparison(effect, float(found.pvalue), "sign-flip")


def paired_bootstrap(
    first: Values,
    second: Values,
    prompts: Prompts = None,
    *,
    interval: Interval = "bca",
    level: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
) -> Comparison:
    """Paired bootstrap test: how often prompts drawn again err by as much as the difference is.

        p = (1 + #{b: |d*_b - d| >= |d|}) / (1 + resamples)

    Args:
        first: one number a row; rows with NaN in either are left out and counted.
        second: the other method, row by row on the same prompts.
        prompts: the prompt of each row.
        interval: of the effect, as in `estimate`.
        level: of the effect's interval.
        resamples: how often prompts are drawn again.
        seed: of that draw.

    Raises:
        InputError: rows do not match, or a value is infinite.
    """
    effect, sums, counts = _differences(first, second, prompts, interval, level, resamples, seed)
    if len(sums) < 2:
        return Comparison(effect, nan, "bootstrap")
    found = bootstrap((sums, counts), ratio, "percentile", level, resamples, seed)
    beyond = np.abs(found.bootstrap_distribution - effect.value) >= abs(effect.value)
    return Comparison(effect, float((1 + beyond.sum()) / (1 + resamples)), "bootstrap")


def mcnemar(
    first: Values,
    second: Values,
    *,
    interval: Interval = "bca",
    level: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
) -> Comparison:
    """McNemar's exact test for scores that are 0 or 1, one row a prompt.

        p = P( |B - m/2| >= |b - m/2| ),   B ~ Binomial(m, 1/2)

    with `m` the prompts on which the methods differ and `b` those of them that the first got.

    Args:
        first: 0 or 1 for every prompt; rows with NaN in either are left out and counted.
        second: the other method, on the same prompts.
        interval: of the effect, as in `estimate`.
        level: of the effect's interval.
        resamples: how often prompts are drawn again, for the interval.
        seed: of that draw.

    Raises:
        InputError: rows do not match, or a score is neither 0 nor 1.
    """
    (one, other), _, _ = kept([first, second], None)
    wrong = [float(score) for score in (*one, *other) if score not in (0.0, 1.0)]
    if wrong:
        raise InputError(
            f"a score is {wrong[0]:g}; McNemar's test is for scores of 0 and 1: use sign_flip."
        )
    effect, _, _ = _differences(first, second, None, interval, level, resamples, seed)
    gained, differ = int((one > other).sum()), int((one != other).sum())
    p = float(stats.binomtest(gained, differ).pvalue) if differ else 1.0
    return Comparison(effect, p, "McNemar")


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction: what each p is worth among several, all of them controlled together.

        p~_(i) = max_{j <= i} min(1, (m - j + 1) p_(j))        p_(1) <= ... <= p_(m)

    Args:
        p_values: one for each comparison.

    Returns:
        The corrected ones, in the same order.

    Raises:
        InputError: one is not between 0 and 1.
    """
    wrong = [p for p in p_values if not 0 <= p <= 1]
    if wrong:
        raise InputError(f"{wrong[0]} is no p-value: it must be between 0 and 1.")
    order = np.argsort(np.asarray(p_values, dtype=np.float64), kind="stable")
    factors = np.arange(len(order), 0, -1)
    rising = np.maximum.accumulate(np.minimum(1.0, factors * np.asarray(p_values)[order]))
    corrected = np.empty(len(order))
    corrected[order] = rising
    return [float(p) for p in corrected]


def compare_all(
    scores: Mapping[str, Values],
    against: str,
    prompts: Prompts = None,
    *,
    test: Callable[..., Comparison] = sign_flip,
) -> dict[str, Comparison]:
    """Every method against one of them, with p-values corrected by Holm's method.

    Args:
        scores: of each method by its name, row by row on the same prompts.
        against: the name of the method that all others are compared with.
        prompts: the prompt of each row.
        test: `sign_flip` or `paired_bootstrap`.

    Raises:
        InputError: there is no such method, or rows do not match.
    """
    if against not in scores:
        raise InputError(f"there is no {against!r} among {', '.join(map(repr, scores))}.")
    names = [name for name in scores if name != against]
    found = [test(scores[name], scores[against], prompts) for name in names]
    corrected = holm([one.p for one in found])
    return {
        name: Comparison(one.effect, p, f"{one.test}, Holm")
        for name, one, p in zip(names, found, corrected, strict=True)
    }


def _differences(
    first: Values,
    second: Values,
    prompts: Prompts,
    interval: Interval,
    level: float,
    resamples: int,
    seed: int,
) -> tuple[Estimate, Float[np.ndarray, " prompts"], Float[np.ndarray, " prompts"]]:
    """The effect, and what each prompt has of it."""
    # NaN where either is: an estimate counts those rows.
    apart = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    (one, other), labels, _ = kept([first, second], prompts)
    effect = estimate(
        apart[0] - apart[1],
        prompts,
        interval=interval,
        level=level,
        resamples=resamples,
        seed=seed,
    )
    return effect, *totals(one - other, labels)


def _total(sums: Float[np.ndarray, "*draws prompts"], axis: int = -1) -> Any:
    return sums.sum(axis)
