"""Truth and informativeness of answers to TruthfulQA."""

from dataclasses import replace

from steersman.evaluation import Evaluation
from steersman.evaluation.scores import Score
from steersman.reproduction.alqr.sources import GEMMA, LLAMA, NO_SPLIT, ONE_FIT, QUOTED, QWEN
from steersman.reproduction.bench import Bench
from steersman.reproduction.filling import filled
from steersman.reproduction.found import Found
from steersman.reproduction.item import Item, Measure, Sizes
from steersman.reproduction.published import UNSTEERED, quoted
from steersman.reproduction.scripts import settings_of
from steersman.reproduction.ways import compared

PRODUCT, BOTH, TRUE, INFORMATIVE = "product", "both", "true", "informative"
PERPLEXITY = "perplexity"


def _measured(bench: Bench) -> Found:
    task = bench.sources.tasks["truthfulness"]
    settings = settings_of("truthfulness", bench.name, bench.lambdas)
    return filled(bench, task, compared(settings), settings, _values)


def _values(found: Evaluation) -> dict[str, Score]:
    values = {PERPLEXITY: found.panel["perplexity"]}
    if {TRUE, INFORMATIVE} <= set(found.scores):
        true, informative = found.scores[TRUE], found.scores[INFORMATIVE]
        values |= {TRUE: true, INFORMATIVE: informative, PRODUCT: product(true, informative)}
    values[BOTH] = found.headline
    return values


def product(one: Score, other: Score) -> Score:
    """`a b` of two means, with `se = b se_a + a se_b`, the most that it can be to first order.

    Args:
        one: a mean with its standard error.
        other: the other.
    """
    se = other.mean * one.se + one.mean * other.se
    each = tuple(a * b for a, b in zip(one.by_seed, other.by_seed, strict=True))
    return replace(one, mean=one.mean * other.mean, se=se, se_seeds=float("nan"), by_seed=each)


ITEM = Item(
    name="truthfulness",
    title="Truthfulness",
    shows=(
        "How often answers to TruthfulQA are true and how often they are informative, by two "
        "judges, and the product of the two shares."
    ),
    needs=(("truthfulness",),),
    sizes=Sizes(817, (0, 1, 2, 3, 4), jacobians=35),
    work="5 x 817 answers of 50 tokens, unsteered and 6 to 10 times steered, by two judges",
    measures=(
        Measure(PRODUCT, "true x informative, %", 100.0, 2),
        Measure(TRUE, "true, %", 100.0, 1),
        Measure(INFORMATIVE, "informative, %", 100.0, 1),
        Measure(BOTH, "both at once, %", 100.0, 1),
        Measure(PERPLEXITY, "perplexity", 1.0, 2),
    ),
    unit="questions",
    measure=_measured,
    published=quoted(
        PRODUCT,
        {
            (UNSTEERED, GEMMA): 48.64,
            ("A-LQR", GEMMA): 67.81,
            (UNSTEERED, QWEN): 53.17,
            ("A-LQR", QWEN): 76.28,
            ("A-LQR", LLAMA): 63.63,
        },
        QUOTED,
    ),
    unknown=(
        "The baselines' rows, the two shares by themselves, and the other models. Of Llama-3-8B it "
        "is told that A-LQR gains about 17 points, with more than 96 % informative."
    ),
    differs=(
        NO_SPLIT + " So about 330 questions are left of the 817.",
        ONE_FIT + " That of the product is its largest possible one.",
        "The product is the paper's; beside it stands the share of answers that are both.",
    ),
)
"""The TruthfulQA table."""
