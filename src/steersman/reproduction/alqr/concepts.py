"""Concepts: does a story come round to one?"""

from steersman.evaluation import Evaluation
from steersman.evaluation.scores import Score
from steersman.reproduction.alqr.sources import NO_SPLIT, ONE_FIT
from steersman.reproduction.bench import Bench
from steersman.reproduction.filling import filled
from steersman.reproduction.found import Found
from steersman.reproduction.item import Item, Measure, Sizes
from steersman.reproduction.scripts import settings_of
from steersman.reproduction.ways import compared

CONCEPT, PERPLEXITY, DIVERGENCE = "concept", "perplexity", "divergence"
SIZES = Sizes(500, jacobians=25)
JUDGED = (
    "Of a data set the concept counts where its word occurs; the paper asks Llama-3.1-8B-Instruct, "
    "which --judge concepts:NAME=causal:MODEL does too."
)


def _measured(bench: Bench) -> Found:
    task = bench.sources.concepts[0]
    settings = settings_of("concepts", bench.name, bench.lambdas)
    return filled(bench, task, compared(settings), settings, _values)


def _values(found: Evaluation) -> dict[str, Score]:
    return {
        CONCEPT: found.headline,
        PERPLEXITY: found.panel["perplexity"],
        DIVERGENCE: found.panel["divergence"],
    }


ITEM = Item(
    name="concepts",
    title="One concept",
    shows=(
        "How many of 500 stories that begin with \u201cOnce upon a time\u201d hold a concept that "
        "the model is steered toward, for concepts such as football."
    ),
    needs=(("concepts",),),
    sizes=SIZES,
    work="500 stories of 100 tokens, unsteered and 6 times steered",
    measures=(
        Measure(CONCEPT, "stories with the concept, %", 100.0, 1),
        Measure(PERPLEXITY, "perplexity", 1.0, 2),
        Measure(DIVERGENCE, "KL, nats per token", 1.0, 3),
    ),
    unit="stories",
    measure=_measured,
    unknown="All of the paper's numbers for this.",
    differs=(NO_SPLIT, ONE_FIT, "One concept, the first that is given.", JUDGED),
)
"""The figure of single concepts."""
