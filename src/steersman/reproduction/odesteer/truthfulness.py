"""Truth and informativeness of answers to TruthfulQA."""

from steersman.evaluation import Evaluation
from steersman.evaluation.scores import Score
from steersman.reproduction.alqr.truthfulness import product
from steersman.reproduction.bench import Bench
from steersman.reproduction.filling import filled
from steersman.reproduction.found import Found
from steersman.reproduction.item import Item, Measure, Sizes
from steersman.reproduction.odesteer.gaining import with_gains
from steersman.reproduction.odesteer.sources import FOLDS, GAIN, GAIN_HERE, gained
from steersman.reproduction.odesteer.ways import Published, compared

BOTH, PRODUCT, TRUE, INFORMATIVE = "both", "product", "true", "informative"
PERPLEXITY, DIVERGENCE = "perplexity", "divergence"


def _measured(bench: Bench) -> Found:
    task = bench.sources.tasks["truthfulness"]
    settings = Published.of(bench.name, bench.lambdas)
    found = filled(bench, task, compared(settings), settings, _values)
    return with_gains(found, bench, task)


def _values(found: Evaluation) -> dict[str, Score]:
    panel = {name: found.panel[name] for name in (PERPLEXITY, DIVERGENCE)}
    values = {BOTH: found.headline, **panel}
    if {TRUE, INFORMATIVE} <= set(found.scores):
        true, informative = found.scores[TRUE], found.scores[INFORMATIVE]
        values |= {TRUE: true, INFORMATIVE: informative, PRODUCT: product(true, informative)}
    return values


ITEM = Item(
    name="truthfulness",
    title="Truthfulness",
    shows=(
        "How often answers to TruthfulQA are true and informative at once, by two judges, and how "
        "much more often than with the best other method."
    ),
    needs=(("truthfulness",),),
    sizes=Sizes(817, pairs=1000),
    work="817 answers of 50 tokens, unsteered and 7 times steered, by two judges",
    measures=(
        Measure(BOTH, "both at once, %", 100.0, 1),
        Measure(GAIN, "gain over the best other, points", 100.0, 1),
        Measure(TRUE, "true, %", 100.0, 1),
        Measure(INFORMATIVE, "informative, %", 100.0, 1),
        Measure(PRODUCT, "true x informative, %", 100.0, 2),
        Measure(PERPLEXITY, "perplexity", 1.0, 2),
        Measure(DIVERGENCE, "KL, nats per token", 1.0, 3),
    ),
    unit="questions",
    measure=_measured,
    published=gained(5.7),
    unknown="The paper's tables: only what its abstract says is known to us.",
    differs=(FOLDS, GAIN_HERE),
    sized=("seeds", "pairs"),
)
"""The TruthfulQA table."""
