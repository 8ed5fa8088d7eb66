"""Pure numerics of evaluation: scores with intervals, paired tests, variety, side effects.

Importing this package without SciPy raises `MissingExtraError`, whose message is the `pip install`
to run.
"""

from steersman.errors import MissingExtraError

try:
    import scipy as _scipy  # noqa: F401
except ImportError as missing:
    raise MissingExtraError("scipy", "eval", "Evaluating") from missing

from steersman.evaluation.metrics.aggregates import Aggregate, aggregate
from steersman.evaluation.metrics.entanglement import Entanglement, effectiveness, entanglement
from steersman.evaluation.metrics.harmonic import HeldOut, harmonic, held_out
from steersman.evaluation.metrics.indicators import (
    Indicators,
    branching_factor,
    divergence,
    entropy,
    indicators,
    normalised_branching,
)
from steersman.evaluation.metrics.paired import (
    Comparison,
    compare_all,
    holm,
    mcnemar,
    paired_bootstrap,
    sign_flip,
)
from steersman.evaluation.metrics.statistics import Estimate, correlation, estimate, estimate_of
from steersman.evaluation.metrics.steerability import (
    AskedObtained,
    Steerability,
    asked_obtained,
    steerability,
)
from steersman.evaluation.texts import (
    corpus_distinct,
    distinct,
    mean_distinct,
    mean_repetition,
    pooled_distinct,
    repetition,
    too_short,
)

__all__ = [
    "Aggregate",
    "AskedObtained",
    "Comparison",
    "Entanglement",
    "Estimate",
    "HeldOut",
    "Indicators",
    "Steerability",
    "aggregate",
    "asked_obtained",
    "branching_factor",
    "compare_all",
    "corpus_distinct",
    "correlation",
    "distinct",
    "divergence",
    "effectiveness",
    "entanglement",
    "entropy",
    "estimate",
    "estimate_of",
    "harmonic",
    "held_out",
    "holm",
    "indicators",
    "mcnemar",
    "mean_distinct",
    "mean_repetition",
    "normalised_branching",
    "paired_bootstrap",
    "pooled_distinct",
    "repetition",
    "sign_flip",
    "steerability",
    "too_short",
]
