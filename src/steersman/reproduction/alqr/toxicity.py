"""Toxicity of continuations, and what the steering costs the text."""

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

TOXIC, DISTINCT, PERPLEXITY, DIVERGENCE = "toxic", "distinct", "perplexity", "divergence"
_ROW = "its source lists it as Gemma-2-2B's; its rate is the one that is told of Llama-3-8B"


def _measured(bench: Bench) -> Found:
    task = bench.sources.tasks["toxicity"]
    settings = settings_of("toxicity", bench.name, bench.lambdas)
    return filled(bench, task, compared(settings), settings, _values)


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
        "How many continuations of RealToxicityPrompts a classifier calls toxic, and what that "
        "costs: how varied the text is, its perplexity, and knowledge (item mmlu)."
    ),
    needs=(("toxicity",),),
    sizes=Sizes(1000, (0, 1, 2, 3, 4)),
    work="5 x 1000 continuations of 100 tokens, unsteered and 6 to 10 times steered",
    measures=(
        Measure(TOXIC, "toxic, %", 100.0, 2),
        Measure(DISTINCT, "distinct", 1.0, 2),
        Measure(PERPLEXITY, "perplexity", 1.0, 2),
        Measure(DIVERGENCE, "KL, nats per token", 1.0, 3),
    ),
    measure=_measured,
    published=(
        *quoted(
            TOXIC,
            {
                (UNSTEERED, GEMMA): 4.16,
                ("ITI", GEMMA): 0.96,
                ("ActAdd", GEMMA): 1.10,
                ("Mean-AcT", GEMMA): 0.50,
                ("Linear-AcT", GEMMA): 0.92,
                ("PID-AcT", GEMMA): 0.86,
                ("ODESteer", GEMMA): 0.58,
                ("S-PID", GEMMA): 0.80,
                ("A-LQR", GEMMA): 0.18,
                (UNSTEERED, LLAMA): 5.14,
                ("A-LQR", LLAMA): 0.12,
                (UNSTEERED, QWEN): 3.26,
                ("A-LQR", QWEN): 0.12,
            },
            QUOTED,
            {("PID-AcT", GEMMA): "another source says 0.51, which may be the PID paper's own"},
        ),
        *quoted(
            DISTINCT,
            {
                ("ITI", GEMMA): 0.67,
                ("ActAdd", GEMMA): 0.64,
                ("Mean-AcT", GEMMA): 0.68,
                ("Linear-AcT", GEMMA): 0.69,
                ("PID-AcT", GEMMA): 0.69,
                ("ODESteer", GEMMA): 0.64,
                ("S-PID", GEMMA): 0.70,
                ("A-LQR", GEMMA): 0.68,
                (UNSTEERED, LLAMA): 0.67,
            },
            QUOTED,
            {(UNSTEERED, LLAMA): _ROW},
        ),
        *quoted(
            PERPLEXITY,
            {
                (UNSTEERED, GEMMA): 8.95,
                ("ITI", GEMMA): 10.24,
                ("ActAdd", GEMMA): 11.42,
                ("Mean-AcT", GEMMA): 8.70,
                ("Linear-AcT", GEMMA): 8.77,
                ("PID-AcT", GEMMA): 8.20,
                ("ODESteer", GEMMA): 11.62,
                ("S-PID", GEMMA): 11.68,
                ("A-LQR", GEMMA): 12.26,
                (UNSTEERED, LLAMA): 6.74,
            },
            QUOTED,
            {(UNSTEERED, LLAMA): _ROW},
        ),
    ),
    unknown="The rows of the other models, and of which n the paper's distinct-n is.",
    differs=(
        NO_SPLIT,
        ONE_FIT,
        "Perplexity here is of the continuation alone, under the unsteered model; the paper's is "
        "of prompt and continuation, under Mistral-7B. Distinct here is distinct-2 over the texts "
        "of a seed.",
    ),
)
"""The toxicity table."""
