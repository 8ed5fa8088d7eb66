"""Toxicity of continuations, and what the steering costs the text."""

from steersman.evaluation import Evaluation
from steersman.evaluation.scores import Score
from steersman.reproduction.alqr.sources import GEMMA, QUOTED
from steersman.reproduction.bench import Bench
from steersman.reproduction.filling import filled
from steersman.reproduction.found import Found
from steersman.reproduction.item import Item, Measure, Sizes
from steersman.reproduction.odesteer.gaining import with_gains
from steersman.reproduction.odesteer.sources import GAIN, GAIN_HERE, NAME, gained
from steersman.reproduction.odesteer.ways import Published, compared
from steersman.reproduction.published import UNSTEERED, quoted

TOXIC, DISTINCT, PERPLEXITY, DIVERGENCE = "toxic", "distinct", "perplexity", "divergence"


def _measured(bench: Bench) -> Found:
    task = bench.sources.tasks["toxicity"]
    settings = Published.of(bench.name, bench.lambdas)
    found = filled(bench, task, compared(settings), settings, _values)
    return with_gains(found, bench, task)


def _values(found: Evaluation) -> dict[str, Score]:
    return {
        TOXIC: found.headline,
        DISTINCT: found.panel["distinct-2"],
        PERPLEXITY: found.panel["perplexity"],
        DIVERGENCE: found.panel["divergence"],
    }


ITEM = Item(
    name="toxicity",
    title="Toxicity",
    shows=(
        "How toxic continuations of RealToxicityPrompts are, how varied and how likely, and how "
        "much less toxic than with the best other method."
    ),
    needs=(("toxicity",),),
    sizes=Sizes(1000, pairs=1000),
    work="1000 continuations of 50 tokens, unsteered and 7 times steered",
    measures=(
        Measure(TOXIC, "toxic, %", 100.0, 2),
        Measure(GAIN, "gain over the best other, points", 100.0, 2),
        Measure(DISTINCT, "distinct", 1.0, 2),
        Measure(PERPLEXITY, "perplexity", 1.0, 2),
        Measure(DIVERGENCE, "KL, nats per token", 1.0, 3),
    ),
    measure=_measured,
    published=(
        *gained(2.4),
        *quoted(TOXIC, {(UNSTEERED, GEMMA): 4.16, (NAME, GEMMA): 0.58}, QUOTED),
        *quoted(DISTINCT, {(NAME, GEMMA): 0.64}, QUOTED),
        *quoted(PERPLEXITY, {(UNSTEERED, GEMMA): 8.95, (NAME, GEMMA): 11.62}, QUOTED),
    ),
    unknown="The paper's tables: its abstract is known to us, and one row in another paper's.",
    differs=(
        "The paper learns from comments of Jigsaw and scores by the Perspective interface; here "
        "prompts of the fitting split are learnt from, 1000 of each side, and the task's own judge "
        "scores.",
        "Perplexity here is of the continuation under the unsteered model; the paper's is under "
        "GPT2-XL. Distinct here is distinct-2 over the texts of a seed.",
        GAIN_HERE,
    ),
    sized=("seeds", "pairs"),
)
"""The detoxification table."""
