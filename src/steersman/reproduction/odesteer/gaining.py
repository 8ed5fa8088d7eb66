"""How much better a way is than the best other method, on the same prompts."""

from dataclasses import replace

from steersman.evaluation import Evaluation, Task
from steersman.evaluation.scores import Score, Value, mean_of
from steersman.reproduction.bench import Bench
from steersman.reproduction.found import Found, Line
from steersman.reproduction.odesteer.sources import GAIN
from steersman.reproduction.published import UNSTEERED


def with_gains(found: Found, bench: Bench, task: Task) -> Found:
    """The table with what every form of ODESteer gains over the best of the other methods.

        gain = +-(mean over prompts of the headline, less that of the best other method)

    It is above zero where ODESteer does better, whichever way the headline is better.

    Args:
        found: the table.
        bench: where its evaluations are kept.
        task: what was asked.
    """
    kept = {line.label: bench.kept(task, line.label) for line in found.lines if not line.failed}
    others = [one for label, one in kept.items() if not _ours(label) and label != UNSTEERED]
    if not others:
        return found
    sign = 1.0 if task.rises else -1.0
    best = max(others, key=lambda one: sign * one.headline.mean)
    lines = [
        _gaining(line, gain(kept[line.label], best, task.headline, sign))
        if line.label in kept and _ours(line.label)
        else line
        for line in found.lines
    ]
    return replace(found, lines=tuple(lines))


def gain(one: Evaluation, other: Evaluation, name: str, sign: float) -> Score:
    """The paired difference of a score, with the standard error of a difference on one prompt.

    Args:
        one: an evaluation.
        other: of the same prompts.
        name: which score.
        sign: -1 where less is better.
    """
    first, second = _means(one, name), _means(other, name)
    seeds = list(one.settings["seeds"])
    values = [
        Value(sign * (first[key][1] - second[key][1]), seeds.index(key[0]), first[key][0])
        for key in first
        if key in second
    ]
    return mean_of(values, len(seeds), missing=len(one.rows) - len(values))


def _means(found: Evaluation, name: str) -> dict[tuple[int, int], tuple[str, float]]:
    """The mean score of each prompt of each seed, with the prompt's name."""
    each: dict[tuple[int, int], tuple[str, list[float]]] = {}
    for row in found.rows:
        if name in row["scores"]:
            mine = each.setdefault((row["seed"], row["index"]), (row["id"], []))
            mine[1].append(float(row["scores"][name]))
    return {key: (prompt, sum(some) / len(some)) for key, (prompt, some) in each.items()}


def _gaining(line: Line, score: Score) -> Line:
    return replace(line, values={**line.values, GAIN: score})


def _ours(label: str) -> bool:
    return "ODESteer" in label
