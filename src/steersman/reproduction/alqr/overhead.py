"""What steering costs while the model writes: tokens a second."""

from collections.abc import Sequence

from steersman.conditions import Condition
from steersman.data import Example
from steersman.errors import SteersmanError
from steersman.evaluation.comparison.speed import paces
from steersman.plant import tokenize
from steersman.reproduction.alqr.sources import GEMMA, QUOTED, QWEN
from steersman.reproduction.alqr.tracking import prompts_of
from steersman.reproduction.bench import Bench
from steersman.reproduction.found import Found, Line
from steersman.reproduction.item import Item, Measure, Sizes
from steersman.reproduction.published import UNSTEERED, quoted
from steersman.reproduction.scripts import settings_of
from steersman.reproduction.statistics import mean
from steersman.reproduction.ways import default, paper_form, spid

SPEED, CHANGE = "speed", "change"
STEERED_FOR = ("toxicity", "truthfulness", "refusal", "concepts")
_NEW_TOKENS = 100
_AMONG = 64
"""Of how many prompts the shortest is taken."""


def _measured(bench: Bench) -> Found:
    task = bench.sources.first(STEERED_FOR)
    fitting, prompts = bench.fitting(task), [_short(bench, prompts_of(bench, task, "test", _AMONG))]
    settings = settings_of("toxicity", bench.name, bench.lambdas or (1.0,))
    bare: list[float] = []
    lines: list[Line] = []
    for way in (default(), *paper_form(settings), *spid(settings)):
        try:
            condition = Condition(bench.steering(way, fitting), way.target, way.lambda_)
            timed = paces(
                *(bench.model, bench.tokenizer, prompts, condition),
                new_tokens=_NEW_TOKENS,
                repeats=bench.sizes.count,
            )
        except SteersmanError as error:
            lines.append(Line(way.label, way.published, failed=str(error)))
            continue
        bare += timed.unsteered
        both = zip(timed.unsteered, timed.steered, strict=True)
        values = {
            SPEED: mean([1 / seconds for seconds in timed.steered]),
            CHANGE: mean([before / after - 1 for before, after in both]),
        }
        lines.append(Line(way.label, way.published, values))
    first = Line(UNSTEERED, UNSTEERED, {SPEED: mean([1 / seconds for seconds in bare])})
    told = (
        f"One short prompt of {task.name}, up to {_NEW_TOKENS} tokens, {bench.sizes.count} trials, "
        "each beside an unsteered one; by the clock, with whatever else the machine did in it.",
    )
    return Found((first, *lines), (*told, *fitting.notes), {"task": task.name})


def _short(bench: Bench, prompts: Sequence[Example]) -> Example:
    """The one of fewest tokens."""
    tokens = tokenize(bench.tokenizer, prompts)
    return min(zip(prompts, tokens, strict=True), key=lambda one: len(one[1]))[0]


ITEM = Item(
    name="overhead",
    title="Overhead",
    shows="Tokens a second with and without A-LQR: one short prompt, up to 100 tokens, 100 trials.",
    needs=(STEERED_FOR,),
    sizes=Sizes(100),
    work="100 trials of 100 tokens, by each of 3 ways and unsteered in turn",
    measures=(
        Measure(CHANGE, "change, %", 100.0, 1),
        Measure(SPEED, "tokens a second", 1.0, 2),
    ),
    unit="trials",
    measure=_measured,
    published=(
        *quoted(CHANGE, {("A-LQR", GEMMA): -22.0, ("A-LQR", QWEN): -32.0}, QUOTED),
        *quoted(
            SPEED,
            {
                (UNSTEERED, GEMMA): 51.37,
                ("A-LQR", GEMMA): 40.28,
                (UNSTEERED, QWEN): 31.53,
                ("A-LQR", QWEN): 21.51,
            },
            QUOTED,
        ),
    ),
    sized=("pairs", "jacobians"),
    unknown="The other models. The published times are of one RTX 4090.",
    differs=(
        "Steered and unsteered trials alternate, and the change is of each two that follow each "
        "other; times are never the same twice.",
        "The paper's form is run with two vectors a block in place of a matrix, which is the same "
        "law.",
    ),
)
"""The table of run times."""
