"""Two concepts at once: are both in the story?"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from steersman.errors import InputError
from steersman.evaluation import Evaluation, Task
from steersman.evaluation.scores import Score, Value, mean_of
from steersman.methods import ALQR, FeatureLQR
from steersman.reproduction.alqr.concepts import JUDGED, SIZES
from steersman.reproduction.alqr.sources import NO_SPLIT, ONE_FIT
from steersman.reproduction.bench import Bench, Fitting
from steersman.reproduction.filling import filled
from steersman.reproduction.found import Found
from steersman.reproduction.item import Item, Measure
from steersman.reproduction.judging import OneScore
from steersman.reproduction.scripts import settings_of
from steersman.reproduction.ways import ALQR_NAME, Way

BOTH, FIRST, SECOND, PERPLEXITY = "both", "first", "second", "perplexity"


def _measured(bench: Bench) -> Found:
    first, second = bench.sources.concepts[:2]
    settings = settings_of("concepts", bench.name, bench.lambdas)
    each = {one.name: bench.fitting(one) for one in (first, second)}
    pairs = {name: one.each[0] for name, one in each.items()}
    weights = settings.regulator
    ways = (
        *(
            Way(
                f"A-LQR, paper's form, λ = {strength:g} of both",
                ALQR(weights.q, weights.r, weights.qf),
                ALQR_NAME,
                lambda_=dict.fromkeys(pairs, strength),
            )
            for strength in weights.lambdas
        ),
        Way("A-LQR, relative plan, target 1 of both", ALQR(), "", dict.fromkeys(pairs, 1.0)),
        Way("feature LQR, target 1 of both", FeatureLQR(), "", dict.fromkeys(pairs, 1.0)),
        Way("feature LQR, the first alone", FeatureLQR(), "", {first.name: 1.0, second.name: 0.0}),
    )
    notes = tuple(note for one in each.values() for note in one.notes)
    fitting = Fitting(f"{first.name} and {second.name}", pairs, notes)
    task, values = together(first, second), _values(first.headline, second.headline)
    found = filled(bench, task, ways, settings, values, fitting)
    told = f"The first is {first.name}, the second {second.name}."
    return replace(found, notes=(told, *found.notes))


def together(first: Task, second: Task) -> Task:
    """The stories of one task, judged for the headlines of both.

    Args:
        first: whose prompts.
        second: the other.

    Raises:
        InputError: a headline that no judge gives, or the same of both.
    """
    judges = []
    for task in (first, second):
        givers = [judge for judge in task.judges if task.headline in judge.scores]
        if not givers or first.headline == second.headline:
            raise InputError(
                f"{first.name} and {second.name} cannot be judged together: each needs a judge of "
                "its own headline."
            )
        judges.append(OneScore(givers[0], task.headline))
    return replace(first, judges=tuple(judges), side=())


def _values(first: str, second: str) -> Callable[[Evaluation], Mapping[str, Score]]:
    def read(found: Evaluation) -> dict[str, Score]:
        seeds = list(found.settings["seeds"])
        known = [row for row in found.rows if {first, second} <= set(row["scores"])]
        values = [
            Value(row["scores"][first] * row["scores"][second], seeds.index(row["seed"]), row["id"])
            for row in known
        ]
        return {
            BOTH: mean_of(values, len(seeds), missing=len(found.rows) - len(known)),
            FIRST: found.scores[first],
            SECOND: found.scores[second],
            PERPLEXITY: found.panel["perplexity"],
        }

    return read


ITEM = Item(
    name="multi-concept",
    title="Two concepts at once",
    shows=(
        "How many of 500 stories that begin with \u201cOnce upon a time\u201d hold two concepts "
        "that the model is steered toward together, with one plant and a strength for each."
    ),
    needs=(("concepts+",),),
    sizes=SIZES,
    work="500 stories of 100 tokens, unsteered and 4 times steered",
    measures=(
        Measure(BOTH, "both concepts, %", 100.0, 1),
        Measure(FIRST, "the first, %", 100.0, 1),
        Measure(SECOND, "the second, %", 100.0, 1),
        Measure(PERPLEXITY, "perplexity", 1.0, 2),
    ),
    unit="stories",
    measure=_measured,
    unknown="All of the paper's numbers for this.",
    differs=(
        NO_SPLIT,
        ONE_FIT,
        "The plant is averaged over sentences of both concepts, and directions that are not "
        "orthogonal are told apart; in the paper's scripts the plant is of one concept, and what "
        "is added for each is added up.",
        JUDGED,
    ),
)
"""The figure of several concepts."""
