"""A table of ways on one task, with its values and what there is to know of it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from steersman.evaluation import Evaluation, Task
from steersman.evaluation.making import GENERATION
from steersman.evaluation.scores import Score
from steersman.reproduction.bench import Bench, Fitting
from steersman.reproduction.found import Found
from steersman.reproduction.ways import Way

Values = Callable[[Evaluation], Mapping[str, Score]]
"""From an evaluation to the measures of an item."""


@runtime_checkable
class Settings(Protocol):
    """Where the strengths of ways are from."""

    def told(self, asked: bool) -> str:
        """In a sentence.

        Args:
            asked: whether they were asked for.
        """


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
    lines, notes = [], [settings.told(bench.lambdas is not None), *examples.notes]
    doubted: dict[str, list[str]] = {}
    for line, found in bench.table(task, ways, examples):
        lines.append(line if found is None else replace(line, values=values(found)))
        for doubt in _doubts(found) if found else ():
            doubted.setdefault(doubt, []).append(line.label)
    for doubt, labels in doubted.items():
        everywhere = len(labels) == sum(not line.failed for line in lines)
        notes.append(f"{'Every row' if everywhere else ', '.join(labels)}: {doubt}.")
    more = {"task": task.name, "ways": [way.to_dict() for way in ways]}
    return Found(tuple(lines), tuple(notes), more)


def _doubts(found: Evaluation) -> list[str]:
    """What went wrong, a line for each judge; what was never written no judge is blamed for."""
    unwritten = {one.reason for one in found.failures if one.judge == GENERATION}
    counted: Counter[str] = Counter()
    reasons: dict[str, list[str]] = {}
    for one in found.failures:
        if one.judge == GENERATION or one.reason not in unwritten:
            counted[one.judge] += one.count
            reasons.setdefault(one.judge, []).append(one.reason)
    lines = [
        f"{judge} failed on {count} of {found.samples}: {reasons[judge][0]}"
        f"{', and for other reasons' if len(reasons[judge]) > 1 else ''}"
        for judge, count in counted.items()
    ]
    cut = sum(bool(row.get("cut")) for row in found.rows)
    told = {
        f"{found.empty} of {found.samples} continuations are empty": found.empty,
        f"the context of {cut} of {found.samples} questions was cut at its beginning": cut,
    }
    return [*lines, *(line for line, count in told.items() if count)]
