"""From cells to what is reported: means over seeds, asked against obtained, paired tests."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite, nan, sqrt
from statistics import fmean
from typing import Any

from steersman.evaluation.comparison.cells import Cell
from steersman.evaluation.comparison.result import Asked, ComparisonReport, MethodResult
from steersman.evaluation.comparison.settings import UNSTEERED, ComparisonSettings
from steersman.evaluation.folder import Row
from steersman.evaluation.making import PANEL
from steersman.evaluation.metrics import (
    Comparison,
    asked_obtained,
    compare_all,
    paired_bootstrap,
)
from steersman.evaluation.result import Evaluation, summed_up
from steersman.evaluation.scores import Score, over_seeds
from steersman.evaluation.task import Task

Cells = Mapping[str, Sequence[Cell]]
"""The cells of each method, one a seed."""
Key = tuple[int, int]
"""A seed, and which of its prompts."""
UNKNOWN = Score(nan, nan, nan, 0)


def report_of(
    task: Task,
    beside: Sequence[Task],
    settings: ComparisonSettings,
    written: Mapping[str, Any],
    bare: Sequence[Cell],
    cells: Cells,
    left_out: Mapping[str, str],
) -> ComparisonReport:
    """Everything of all seeds.

    Args:
        task: what was asked.
        beside: tasks that should be left alone.
        settings: what was compared, and how.
        written: everything that decided it, as plain data.
        bare: the unsteered model, a cell each seed.
        cells: of every method that was tried.
        left_out: methods that were not, with the reason.
    """
    plain_model = _merged(task, [cell.scored for cell in bare], settings.seeds)
    assert plain_model is not None
    contexts = [cell.in_context for cell in bare]
    context = task.in_context()
    desired = None if context is None else _merged(context, contexts, settings.seeds)
    unsteered = plain_model.headline
    span = _span(unsteered, None if desired is None else desired.headline)
    scored = {label: [cell.scored for cell in found] for label, found in cells.items()}
    plain = [cell.scored for cell in bare]
    against = _against(task, settings.baseline, scored)
    moved = _against(task, UNSTEERED, {UNSTEERED: plain, **scored})
    moved_at = {
        target: _against(
            task,
            UNSTEERED,
            {UNSTEERED: plain}
            | {label: [cell.asked.get(target) for cell in one] for label, one in cells.items()},
        )
        for target in settings.targets
    }
    return ComparisonReport(
        settings=written,
        unsteered=plain_model.scores,
        unsteered_panel=dict(plain_model.panel) | _left_alone(beside, bare, settings.seeds),
        desired=None if desired is None else desired.headline,
        in_units=isfinite(span),
        methods=tuple(
            _tested(
                _method(task, beside, settings, label, found, unsteered, span),
                against.get(label),
                moved.get(label),
                {target: found.get(label) for target, found in moved_at.items()},
            )
            for label, found in cells.items()
        ),
        left_out=dict(left_out),
    )


def _tested(
    found: MethodResult,
    against: Comparison | None,
    moved: Comparison | None,
    moved_at: Mapping[float, Comparison | None],
) -> MethodResult:
    """With what the paired tests say of it."""
    asked = tuple(replace(one, moved=moved_at[one.target]) for one in found.asked)
    return replace(found, against=against, moved=moved, asked=asked)


def _method(
    task: Task,
    beside: Sequence[Task],
    settings: ComparisonSettings,
    label: str,
    cells: Sequence[Cell],
    unsteered: Score,
    span: float,
) -> MethodResult:
    merged = _merged(task, [cell.scored for cell in cells], settings.seeds)
    asked = [_asked(task, settings, target, cells, unsteered, span) for target in settings.targets]
    known = tuple(one for one in asked if one is not None)
    slopes, gaps = _calibration(known, len(settings.seeds), isfinite(span))
    tuned = [cell.tuned for cell in cells if cell.tuned is not None]
    said = Counter(note for one in tuned for note in one.notes)
    failed = Counter(f"no strength: {one.failure}" for one in tuned if one.failure is not None)
    failed += Counter(
        f"target {target:g}: {why}" for cell in cells for target, why in cell.refused.items()
    )
    if merged is not None:
        failed += Counter({f"{f.judge}: {f.reason}": f.count for f in merged.failures})
    return MethodResult(
        label=label,
        method=settings.methods[label].name,
        strength=over_seeds([one.strength for one in tuned]),
        met=sum(one.met for one in tuned),
        scores={} if merged is None else merged.scores,
        panel={}
        if merged is None
        else dict(merged.panel) | _left_alone(beside, cells, settings.seeds),
        asked=known,
        slope=slopes,
        gap=gaps,
        notes=_counted(said, len(cells)),
        failures=_counted(failed, 0),
        timing=_timing(cells),
    )


def _merged(
    task: Task, found: Sequence[Evaluation | None], seeds: Sequence[int]
) -> Evaluation | None:
    """Evaluations of single seeds as one of all; None where there is none."""
    known = [one for one in found if one is not None]
    if not known:
        return None
    rows = [row for one in known for row in one.rows]
    return summed_up(task, {**known[0].settings, "seeds": list(seeds)}, rows)


def _left_alone(
    beside: Sequence[Task], cells: Sequence[Cell], seeds: Sequence[int]
) -> dict[str, Score]:
    found = {}
    for task in beside:
        merged = _merged(task, [cell.beside.get(task.name) for cell in cells], seeds)
        if merged is not None:
            found[f"{task.headline} of {task.name}"] = merged.headline
    return found


def _span(unsteered: Score, desired: Score | None) -> float:
    """From unsteered to desired; NaN where the two cannot be told apart."""
    if desired is None:
        return nan
    apart = desired.mean - unsteered.mean
    errors = [error if isfinite(error) else 0.0 for error in (unsteered.se, desired.se)]
    return apart if abs(apart) > 2 * sqrt(sum(error**2 for error in errors)) else nan


def _asked(
    task: Task,
    settings: ComparisonSettings,
    target: float,
    cells: Sequence[Cell],
    unsteered: Score,
    span: float,
) -> Asked | None:
    merged = _merged(task, [cell.asked.get(target) for cell in cells], settings.seeds)
    if merged is None:
        return None
    score = merged.headline
    parts = [
        (mine - start) / span for mine, start in zip(score.by_seed, unsteered.by_seed, strict=True)
    ]
    return Asked(target, score, merged.divergence, over_seeds(parts))


def _calibration(asked: Sequence[Asked], seeds: int, in_units: bool) -> tuple[Score, Score]:
    """Slope and gap of what was obtained over what was asked, over seeds."""
    slopes, gaps = [], []
    for seed in range(seeds):
        values = [(one.obtained if in_units else one.score).by_seed[seed] for one in asked]
        pairs = [(one.target, v) for one, v in zip(asked, values, strict=True) if isfinite(v)]
        if len(pairs) < 2:
            continue
        found = asked_obtained([x for x, _ in pairs], [y for _, y in pairs])
        slopes.append(found.slope)
        gaps.append(found.gap if in_units else nan)
    return (over_seeds(slopes) if slopes else UNKNOWN, over_seeds(gaps) if gaps else UNKNOWN)


def _against(
    task: Task, baseline: str, found: Mapping[str, Sequence[Evaluation | None]]
) -> dict[str, Comparison]:
    """Every headline less the baseline's, by prompt, with Holm's correction.

    Args:
        task: what was asked.
        baseline: the label of the one that others are compared with.
        found: of every label, an evaluation a seed.
    """
    values = {label: _values(task, some) for label, some in found.items()}
    names = {key: name for one in values.values() for key, (name, _) in one.items()}
    base = values.get(baseline, {})
    scores = {
        label: [mine[key][1] if key in mine else nan for key in names]
        for label, mine in values.items()
        if label == baseline
        or len({name for key, name in names.items() if _both(mine, base, key)}) > 1
    }
    if not base or len(scores) < 2:
        return {}
    return compare_all(scores, baseline, list(names.values()), test=paired_bootstrap)


def _both(one: Mapping[Key, Any], other: Mapping[Key, Any], key: Key) -> bool:
    return all(key in side and isfinite(side[key][1]) for side in (one, other))


def _values(task: Task, found: Sequence[Evaluation | None]) -> dict[Key, tuple[str, float]]:
    """What each prompt is called, and its headline."""
    rows: dict[Key, list[Row]] = {}
    for one in found:
        for row in () if one is None else one.rows:
            rows.setdefault((row["seed"], row["index"]), []).append(row)
    return {key: (mine[0]["id"], _headline(task, mine)) for key, mine in rows.items()}


def _headline(task: Task, rows: Sequence[Row]) -> float:
    if task.headline in PANEL:
        known = [float(row[task.headline]) for row in rows if row[task.headline] is not None]
        return fmean(known) if known else nan
    scored = [row["scores"] for row in rows if row["scores"]]
    return float(task.per_prompt(scored).get(task.headline, nan)) if scored else nan


def _counted(said: Counter[str], seeds: int) -> tuple[str, ...]:
    """Each once, with how often, where that is not on every seed."""
    return tuple(
        note if count == seeds or count == 1 else f"{note} ({count} times)"
        for note, count in said.most_common()
    )


def _timing(cells: Sequence[Cell]) -> dict[str, float]:
    names = dict.fromkeys(name for cell in cells for name in cell.timing)
    return {
        name: fmean(cell.timing[name] for cell in cells if name in cell.timing) for name in names
    }
