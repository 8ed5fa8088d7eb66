"""The main job on the embedded model: fit, steer, score by ground truth, show what happened."""

import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from steersman.engines import Trace
from steersman.errors import InputError
from steersman.plots import before_after_figure, separation_figure, strength_figure, trace_figure
from steersman.report import BehaviourReport, Report, write_report
from steersman.steering import Steering
from steersman.windtunnel import (
    UNSTEERED,
    Behaviour,
    Condition,
    Outcome,
    Score,
    behaviour,
    compare,
    generate,
    load,
    measure,
)

BEHAVIOURS = ("toxicity", "truthfulness", "refusal", "concepts:sea")
TARGETS = (0.0, 0.25, 0.5, 0.75, 1.0)
PROMPTS = 100
SHOWN = 3


@dataclass(frozen=True)
class Result:
    """Everything the report needs of one behaviour."""

    behaviour: Behaviour
    steering: Steering
    before: Outcome
    after: Outcome
    curve: tuple[Score, ...]
    trace: Trace

    @property
    def headline(self) -> tuple[Score, Score]:
        """The score that counts, before and after."""
        name = self.behaviour.headline
        return self.before.scores[name], self.after.scores[name]


def run_demo(out: Path, seeds: int = 2) -> Path:
    """Fit A-LQR for several behaviours, measure them, print and write `out/report.html`.

    Args:
        out: an existing folder.
        seeds: repetitions, each with new pairs, new prompts and new sampling.

    Returns:
        The report.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    console, started = Console(), time.monotonic()
    model, tokenizer = load()
    results = []
    with Progress(console=Console(file=sys.stderr), transient=True) as progress:
        job = progress.add_task("steering", total=len(BEHAVIOURS))
        for name in BEHAVIOURS:
            progress.update(job, description=name)
            results.append(_run(model, tokenizer, behaviour(name), seeds))
            progress.advance(job)
    for result in results:
        _print_samples(console, result)
    console.print(_table(results))
    path = write_report(_report(results, seeds, time.monotonic() - started), out / "report.html")
    figure = _overview(results)
    figure.savefig(out / "before-after.png", dpi=160)
    console.print(Text(f"report: {path}   figure: {out / 'before-after.png'}"))
    return path


def _run(model: Any, tokenizer: Any, asked: Behaviour, seeds: int) -> Result:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        before, after = compare(
            model,
            tokenizer,
            asked,
            (UNSTEERED, Condition("A-LQR at target 1")),
            seeds=seeds,
            count=PROMPTS,
        )
    steering = after.steering
    if steering is None:
        raise InputError("the steered condition has no steering")
    curve = [before.first.scores[asked.headline]]
    for target in TARGETS[1:-1]:
        attached = steering.attach(model, target=target, trace=False)
        measured = measure(model, tokenizer, asked, attached, seed=1000, count=PROMPTS, knowledge=1)
        curve.append(measured.scores[asked.headline])
    curve.append(after.first.scores[asked.headline])
    prompts = [item.prompt for item in asked.items(1, 1)]
    with steering.attach(model, target=1.0, execution="feedback") as run:
        generate(model, tokenizer, prompts, new_tokens=24, seed=0)
    return Result(asked, steering, before, after, tuple(curve), run.trace)


def _print_samples(console: Console, result: Result) -> None:
    table = Table(
        title=f"{result.behaviour.name}: {result.behaviour.asked}",
        expand=True,
        show_lines=True,
        title_justify="left",
    )
    for column in ("prompt", "unsteered", "steered, target 1"):
        table.add_column(column, ratio=1)
    for prompt, plain, steered in _samples(result):
        table.add_row(Text(prompt), Text(plain), Text(steered))
    console.print(table)


def _samples(result: Result) -> tuple[tuple[str, str, str], ...]:
    both = zip(result.before.first.samples[:SHOWN], result.after.first.samples, strict=False)
    return tuple((plain.prompt, plain.text.strip(), other.text.strip()) for plain, other in both)


def _table(results: list[Result]) -> Table:
    table = Table(title="ground truth, percent, with standard errors", title_justify="left")
    table.add_column("behaviour", no_wrap=True)
    table.add_column("score")
    for column in ("unsteered", "steered", "grammatical", "knowledge"):
        table.add_column(column, justify="right")
    for result in results:
        for name, before in result.before.scores.items():
            first = name == result.behaviour.headline
            table.add_row(
                result.behaviour.name if first else "",
                name,
                str(before),
                str(result.after.scores[name]),
                _change(result.before.grammaticality, result.after.grammaticality) if first else "",
                _change(result.before.knowledge, result.after.knowledge) if first else "",
            )
    return table


def _change(before: Score, after: Score) -> str:
    return f"{100 * before.mean:.1f} -> {100 * after.mean:.1f}"


def _overview(results: list[Result]) -> Any:
    rows = []
    for result in results:
        before, after = result.headline
        name = f"{result.behaviour.name}: {result.behaviour.headline}"
        rows.append((name, before.mean, before.se, after.mean, after.se))
    return before_after_figure(rows, xlabel="share of texts, unsteered and steered at target 1")


def _report(results: list[Result], seeds: int, seconds: float) -> Report:
    curves = {
        r.behaviour.name: ([s.mean for s in r.curve], [s.se for s in r.curve]) for r in results
    }
    strength = strength_figure(list(TARGETS), curves, "score")
    made = results[0].steering.provenance
    return Report(
        title="Steersman: a small model, steered in closed loop",
        subtitle=(
            "A-LQR with the package's defaults on the embedded model, scored by ground truth. "
            "Fitting and scoring share no name, place, creature, object or sentence template."
        ),
        behaviours=tuple(_behaviour_report(result) for result in results),
        figures=(
            ("Scores before and after steering, with standard errors", _overview(results)),
            ("Score against target, one fit each", strength),
        ),
        facts=(
            ("model", f"{made.blocks} blocks, n = {made.n}, {made.vocab_size} tokens"),
            ("repetitions", f"{seeds}, each with 200 new pairs and {PROMPTS} new prompts"),
            ("time", f"{seconds:.0f} s"),
            *((name, version) for name, version in made.libraries.items()),
        ),
    )


def _behaviour_report(result: Result) -> BehaviourReport:
    before, after = result.headline
    trace = result.trace
    shown = trace_figure(
        trace.natural(trace.feature)[0],
        trace.natural(trace.setpoint)[0],
        trace.effort[0],
        trace.steered[0],
    )
    direction = result.steering.direction
    return BehaviourReport(
        name=result.behaviour.name,
        description=f"Asked: {result.behaviour.asked}.",
        method=result.steering.summary(),
        score_name=result.behaviour.headline,
        before=before.mean,
        before_se=before.se,
        after=after.mean,
        after_se=after.se,
        grammaticality=(result.before.grammaticality.mean, result.after.grammaticality.mean),
        knowledge=(result.before.knowledge.mean, result.after.knowledge.mean),
        samples=_samples(result),
        figures=(
            (
                "One steered run with feedback: feature, setpoint with prefilter, error, effort",
                shown,
            ),
            (
                "How well the examples separate at each state",
                separation_figure(direction.separation, direction.separation_se),
            ),
        ),
    )
