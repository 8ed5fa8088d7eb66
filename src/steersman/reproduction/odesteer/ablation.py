"""What steps, solver, length and the classifier's features are worth."""

from dataclasses import replace

from steersman.evaluation import Evaluation
from steersman.evaluation.scores import Score
from steersman.methods import Method, ODESteer
from steersman.reproduction.bench import Bench, Fitting
from steersman.reproduction.filling import filled
from steersman.reproduction.found import Found
from steersman.reproduction.item import Item, Measure, Sizes
from steersman.reproduction.odesteer.ways import Published
from steersman.reproduction.ways import Way

SCORE, PERPLEXITY, DIVERGENCE = "score", "perplexity", "divergence"
ASKED = ("truthfulness", "toxicity")
"""What it is measured on: the first of which there are data."""
STEPS, TARGETS = (1, 2, 5, 20), (0.25, 0.5, 2.0)
_WORDS = {True: "the more the better", False: "the less the better"}


def _measured(bench: Bench) -> Found:
    task = bench.sources.first(ASKED)
    settings, fitting = Published.of(bench.name, None), bench.fitting(task)
    block = _block(bench, settings, fitting)
    found = filled(bench, task, ways(block), _Told(), _values, fitting)
    told = f"Measured on {task.name}, {task.headline}: {_WORDS[task.rises]}. Block {block}."
    return Found(found.lines, (told, *found.notes), found.more)


def ways(block: int) -> tuple[Way, ...]:
    """The default, and each of its settings changed by itself.

    Args:
        block: where all of them act.
    """
    usual = ODESteer(block=block)
    changed = [(f"{n} steps" if n > 1 else "1 step", replace(usual, steps=n)) for n in STEPS]
    changed += [
        (f"10 steps of {name}", replace(usual, solver=name)) for name in ("midpoint", "rk4")
    ]
    changed += [
        ("exact features", replace(usual, barrier="quadratic")),
        ("linear features", replace(usual, barrier="linear")),
        ("features of higher gamma", replace(usual, gamma=10.0, C=100.0)),
    ]
    return (
        Way("default: 10 Euler steps, target 1", usual, "", 1.0),
        *(Way(label, method, "", 1.0) for label, method in changed),
        *(Way(f"target {target:g}", usual, "", target) for target in TARGETS),
    )


class _Told:
    """Target 1 is calibrated for each way by itself."""

    def told(self, asked: bool) -> str:
        """In a sentence."""
        return (
            "Target 1 is for every row the length after which its own classifier finds the "
            "undesired examples as desired as the desired ones, so rows differ in length too."
        )


def _block(bench: Bench, settings: Published, fitting: Fitting) -> int:
    """The released block, or the one that the classifiers choose."""
    if settings.known:
        return settings.block
    chosen: Method = bench.steering(Way("", ODESteer(), "", 1.0), fitting).method
    return int(chosen.hyperparameters()["block"])


def _values(found: Evaluation) -> dict[str, Score]:
    panel = {name: found.panel[name] for name in (PERPLEXITY, DIVERGENCE)}
    return {SCORE: found.headline, **panel}


ITEM = Item(
    name="ablation",
    title="Steps, solver, length, features",
    shows="What one step or many, the solver, the length of the path and the features are worth.",
    needs=(ASKED,),
    sizes=Sizes(400, pairs=1000),
    work="400 continuations of 50 tokens, unsteered and 13 times steered",
    measures=(
        Measure(SCORE, "score, %", 100.0, 1),
        Measure(DIVERGENCE, "KL, nats per token", 1.0, 3),
        Measure(PERPLEXITY, "perplexity", 1.0, 2),
    ),
    measure=_measured,
    unknown="All of the paper's numbers.",
    sized=("seeds", "pairs"),
)
"""The ablations."""
