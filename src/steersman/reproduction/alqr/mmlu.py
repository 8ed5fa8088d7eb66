"""Knowledge that is left: MMLU under a steering for something else."""

from steersman.evaluation import Evaluation
from steersman.evaluation.scores import Score
from steersman.reproduction.alqr.sources import GEMMA, LLAMA, ONE_FIT, QUOTED
from steersman.reproduction.bench import Bench
from steersman.reproduction.filling import filled
from steersman.reproduction.found import Found
from steersman.reproduction.item import Item, Measure, Sizes
from steersman.reproduction.published import UNSTEERED, quoted
from steersman.reproduction.scripts import settings_of
from steersman.reproduction.ways import compared

ACCURACY, DIVERGENCE = "accuracy", "divergence"
STEERED_FOR = ("toxicity", "truthfulness")
"""What is steered for: the first of which there are data."""


def _measured(bench: Bench) -> Found:
    steered_for = bench.sources.first(STEERED_FOR)
    settings = settings_of(
        "toxicity" if steered_for.name == "toxicity" else "truthfulness", bench.name, bench.lambdas
    )
    fitting = bench.fitting(steered_for)
    task = bench.sources.tasks["knowledge"]
    found = filled(bench, task, compared(settings), settings, _values, fitting)
    told = f"The steering is fitted on the examples of {steered_for.name}."
    return Found(found.lines, (told, *found.notes), found.more)


def _values(found: Evaluation) -> dict[str, Score]:
    return {ACCURACY: found.headline, DIVERGENCE: found.panel["divergence"]}


ITEM = Item(
    name="mmlu",
    title="Knowledge that is left",
    shows="Accuracy on MMLU, five answered questions first, under the steering against toxicity.",
    needs=(("knowledge",), STEERED_FOR),
    sizes=Sizes(100, tuple(range(10))),
    work="10 x 100 questions with 5 answered ones before each, unsteered and 6 to 10 times steered",
    measures=(
        Measure(ACCURACY, "accuracy, %", 100.0, 2),
        Measure(DIVERGENCE, "KL at the answer, nats", 1.0, 3),
    ),
    unit="questions",
    measure=_measured,
    published=quoted(
        ACCURACY,
        {
            (UNSTEERED, GEMMA): 54.54,
            ("ITI", GEMMA): 50.12,
            ("ActAdd", GEMMA): 35.78,
            ("Mean-AcT", GEMMA): 54.62,
            ("Linear-AcT", GEMMA): 54.42,
            ("PID-AcT", GEMMA): 54.00,
            ("ODESteer", GEMMA): 52.52,
            ("S-PID", GEMMA): 53.20,
            ("A-LQR", GEMMA): 53.56,
            (UNSTEERED, LLAMA): 66.04,
        },
        QUOTED,
        {(UNSTEERED, LLAMA): "its source lists it as Gemma-2-2B's, in Llama-3-8B's row"},
    ),
    unknown="The other models.",
    differs=(
        ONE_FIT,
        "Choices are compared by their likelihood; the paper lets the model write one token.",
    ),
)
"""The column of MMLU in the toxicity table."""
