"""A table of ways on one task, with its values and what there is to know of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from steersman.evaluation import Evaluation, Task
from steersman.evaluation.scores import Score
from steersman.evaluation.words import doubts
from steersman.reproduction.bench import Bench, Fitting
from steersman.reproduction.found import Found
from steersman.reproduction.scripts import SOURCE, Settings
from steersman.reproduction.ways import Way

Values = Callable[[Evaluation], Mapping[str, Score]]
"""From an evaluation to the measures of an item."""


def filled(
    bench: Bench,
    task: Task,
    ways: Sequence[Way],
    settings: Settings,
    values: Values,
    fitting: Fitting | None = None,
) -> Found:
    """Evaluate the bare model and every way, and read the measures off.

    Args:
        bench: where.
        task: what is asked.
        ways: what is compared.
        settings: where their strengths are from.
        values: how the measures are read off.
        fitting: the examples; None are the task's own.
    """
    examples = bench.fitting(task) if fitting is None else fitting
    lines, notes = [], [_strengths(bench, settings), *examples.notes]
    doubted: dict[str, list[str]] = {}
    for line, found in bench.table(task, ways, examples):
        lines.append(line if found is None else replace(line, values=values(found)))
        for doubt in doubts(found) if found else ():
            doubted.setdefault(doubt, []).append(line.label)
    for doubt, labels in doubted.items():
        everywhere = len(labels) == sum(not line.failed for line in lines)
        notes.append(f"{'Every row' if everywhere else ', '.join(labels)}: {doubt}.")
    more = {"task": task.name, "ways": [way.to_dict() for way in ways]}
    return Found(tuple(lines), tuple(notes), more)


def _strengths(bench: Bench, settings: Settings) -> str:
    if bench.lambdas is not None:
        return "The strengths of the paper's forms were asked for."
    if settings.known:
        return f"Weights, gains and strengths of the paper's forms are those of {SOURCE}."
    return (
        "The paper has not this model: its forms have the library's weights and gains, and "
        "strengths that nobody chose by looking at scores."
    )
