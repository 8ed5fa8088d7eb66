"""Compare methods at equal side effect: fit, tune on validation prompts, score on test prompts."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from tqdm.auto import tqdm

from steersman.calibration import KL
from steersman.calibration.aims import Budget
from steersman.evaluation.comparison.cells import Bench, Cell
from steersman.evaluation.comparison.material import Kept, material_of
from steersman.evaluation.comparison.result import ComparisonReport
from steersman.evaluation.comparison.settings import (
    BASELINE,
    TARGETS,
    ComparisonSettings,
    methods_of,
)
from steersman.evaluation.comparison.summing import report_of
from steersman.evaluation.comparison.tuning import Tuner
from steersman.evaluation.evaluating import model_identity
from steersman.evaluation.folder import SUMMARY, Folder
from steersman.evaluation.task import Task
from steersman.evaluation.tasks import task_named
from steersman.methods import Method
from steersman.plant import require_evaluation

TIMING = "timing.json"
STATES = "states"
"""The folder that keeps the examples' states, which are read once for all methods."""
_TRIALS = 10
"""How many strengths a calibration tries, about."""


def compare(
    model: nn.Module,
    tokenizer: Any,
    task: str | Task,
    methods: str | Sequence[str] | Mapping[str, str | Method] = "all",
    *,
    budget: Budget | None = None,
    targets: Sequence[float] = TARGETS,
    seeds: Sequence[int] = (0, 1, 2),
    count: int = 200,
    validation: int = 64,
    pairs: int = 200,
    baseline: str = BASELINE,
    beside: Sequence[str | Task] = (),
    positions: str | None = None,
    batch_size: int = 16,
    maximum: float = 8.0,
    tolerance: float = 0.02,
    evaluations: int = 16,
    repeats: int = 3,
    out: str | Path | None = None,
    progress: bool = True,
) -> ComparisonReport:
    """Every method at the same side effect, on prompts that nothing was chosen on.

        s_m = max { s : cost_m(s') <= budget for every tried s' up to s }    validation prompts
        effect_m = score of method m at strength s_m                         test prompts
        calibration_m: obtained over asked, at every target                  test prompts

    Each seed has examples to fit on, validation prompts and test prompts of its own. All methods
    see the same of each, and draw with the same random numbers. What is fitted and tuned is handed
    examples and validation prompts alone; a task whose splits overlap is refused.

    Args:
        model: the model, in evaluation mode, with nothing attached; it is not changed.
        tokenizer: its tokenizer.
        task: a task, or the name of one of the wind tunnel's.
        methods: "all", names, or methods with settings of their own by labels of yours.
        budget: the side effect that each may have: `KL(0.1)` by default, `Perplexity(1.1)` or
            `Effort(0.1)`. Continuations are drawn at temperature 1 for this.
        targets: what is asked for to see what is obtained, natural units.
        seeds: for each, other examples, other prompts and other random numbers.
        count: test prompts of each seed.
        validation: validation prompts of each seed.
        pairs: examples on each side to fit on, of each seed.
        baseline: what every other method is tested against; joins the methods.
        beside: tasks that should be left alone, such as "knowledge": evaluated at the budget, on
            as many items.
        positions: which tokens directions are read at, as in `fit`.
        batch_size: rows at a time; it decides rounding, so it is one of the settings.
        maximum: the largest strength that is tried.
        tolerance: how exactly a strength is found, as a share of it.
        evaluations: how many strengths are tried at most.
        repeats: how often a batch is timed; 0 measures no speed.
        out: a folder for everything; one of an interrupted comparison is taken up again.
        progress: say how long it will take, and show how far it is.

    Returns:
        Effects with standard errors and paired tests, side effects, what was obtained for what was
        asked, and what could not be compared, with the reason.

    Raises:
        InputError: settings that cannot be used, a task whose splits overlap or hold too little, or
            a folder that cannot be written.
        MismatchError: the folder holds a comparison with other settings.
        UnknownNameError: no such task or method.
        AttachedError: the model already carries a steering.
    """
    require_evaluation(model)
    asked, *others = (task_named(t) if isinstance(t, str) else t for t in (task, *beside))
    settings = ComparisonSettings(
        methods=methods_of(
            methods if isinstance(methods, str | Mapping) else tuple(methods), baseline
        ),
        baseline=baseline,
        budget=KL(0.1) if budget is None else budget,
        targets=tuple(float(target) for target in targets),
        seeds=tuple(seeds),
        count=count,
        validation=validation,
        pairs=pairs,
        positions=positions,
        batch_size=batch_size,
        maximum=maximum,
        tolerance=tolerance,
        evaluations=evaluations,
        repeats=repeats,
    )
    written = {
        "comparison": settings.to_dict(),
        "task": asked.settings(),
        "beside": [one.settings() for one in others],
        "model": model_identity(model, tokenizer),
    }
    folder = Folder(None if out is None else Path(out), written)
    try:
        total = _parts(settings, asked, len(others))
        with tqdm(total=total, desc="compare", unit="part", disable=not progress) as bar:
            bench = Bench(model, tokenizer, asked, tuple(others), settings, folder.path, bar.update)
            bare, cells, left_out = _made(bench, bar, progress)
        found = report_of(asked, others, settings, folder.settings, bare, cells, left_out)
        folder.write(SUMMARY, found.to_dict())
        folder.write(TIMING, found.timing())
    finally:
        folder.close()
    return found


def _made(
    bench: Bench, bar: Any, progress: bool
) -> tuple[list[Cell], dict[str, list[Cell]], dict[str, str]]:
    """Every cell, seed by seed."""
    settings, bare, left_out = bench.settings, [], dict[str, str]()
    cells: dict[str, list[Cell]] = {}
    kept = Kept.of(bench.task, settings.seeds, settings.count)
    materials = [
        material_of(
            bench.task, seed, pairs=settings.pairs, validation=settings.validation, kept=kept
        )
        for seed in settings.seeds
    ]
    for material in materials:
        bar.set_postfix_str(f"seed {material.seed}, unsteered")
        started = time.perf_counter()
        bare.append(bench.bare(material.seed))
        if progress and len(bare) == 1:
            bar.write(_expected(bench, time.perf_counter() - started), file=sys.stderr)
        states = None if bench.out is None else bench.out / STATES
        tuner = Tuner(bench.model, bench.tokenizer, material, settings, states)
        for label, method in settings.methods.items():
            bar.set_postfix_str(f"seed {material.seed}, {label}")
            if (reason := tuner.unable(method)) is not None:
                left_out[label] = reason
                continue
            cells.setdefault(label, []).append(bench.steered(label, method, tuner))
    bar.total = bar.n
    return bare, cells, left_out


def _parts(settings: ComparisonSettings, task: Task, beside: int) -> int:
    """How many evaluations and calibrations there are at most."""
    bare = 1 + beside + (task.in_context() is not None)
    each = 2 + beside + len(settings.targets)
    return len(settings.seeds) * (bare + each * len(settings.methods))


def _expected(bench: Bench, seconds: float) -> str:
    """From the time of the unsteered model on one seed; of what is there already nothing is known.

    A steered evaluation takes as long as an unsteered one, or twice that with feedback.
    """
    settings, beside = bench.settings, len(bench.beside)
    bare = 1 + beside + (bench.task.in_context() is not None)
    tried = min(_TRIALS, settings.evaluations) * settings.validation / settings.count
    each = 1 + beside + len(settings.targets) + tried
    passes = len(settings.seeds) * each * len(settings.methods)
    minutes = seconds / bare * passes / 60
    return (
        f"comparing {len(settings.methods)} methods on {len(settings.seeds)} seeds: about "
        f"{minutes:.1f} min and the time of the fits, up to twice that with feedback; less where "
        "parts are there already"
    )
