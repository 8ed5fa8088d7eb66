"""Do the logits alone tell beforehand that a steered text falls apart, or that steering succeeds?

Every continuation of the wind tunnel has exact scores of both, and signals that need no judge. Rank
correlations are pooled over targets, where a strength that does everything at once makes everything
correlate, and within targets, where only what the strength does not say is left. Intervals are over
prompts: those at all targets are drawn together. A text that ends no line has no grammaticality and
counts as missing.
"""

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from parts import Cell, Parts
from scipy.stats import rankdata

from steersman.evaluation.metrics import (
    correlation,
    estimate,
    estimate_of,
    indicators,
    normalised_branching,
)
from steersman.sampling import sample, verdicts
from steersman.windtunnel import behaviour, fit_behaviour, load
from steersman.windtunnel.scores import grammaticality

CHECK = 1000
"""Where the seeds of the prompts begin, which no fit has seen."""
SIGNALS = (
    "target",
    "divergence",
    "peak_divergence",
    "entropy",
    "branching",
    "branching_spread",
    "relative_branching",
    "normalised_branching",
    "bare_loss",
)
OUTCOMES = ("grammaticality", "success")


def parts(config: dict[str, Any]) -> Parts:
    """Every way to steer."""
    return {way["name"]: partial(_cells, config, way) for way in config["ways"]}


def _cells(config: dict[str, Any], way: dict[str, Any]) -> list[Cell]:
    warnings.simplefilter("ignore", UserWarning)
    model, tokenizer = load()
    asked = behaviour(config["behaviour"])
    steering = fit_behaviour(model, tokenizer, asked, method=config["method"])
    items = asked.items(CHECK, config["prompts"])
    prompts = [item.prompt for item in items]
    draw = partial(
        sample, model, tokenizer, prompts, new_tokens=asked.new_tokens, seed=CHECK, batch_size=64
    )
    unsteered = list(indicators(model, draw(), k=config["k"]))
    cells = []
    for target in way["targets"]:
        with steering.attach(model, target, tokens=way["tokens"], trace=False):
            drawn = draw()
        texts = [text for batch in drawn for text in batch.texts]
        found = zip(
            items,
            texts,
            indicators(model, drawn, k=config["k"]),
            unsteered,
            verdicts(model, drawn),
            strict=True,
        )
        for place, (item, text, signals, bare, verdict) in enumerate(found):
            row = {
                "target": target,
                "grammaticality": grammaticality([item.prompt], [text]).mean,
                "success": asked.judge(item, text)[asked.headline],
                "divergence": float(signals.divergence.mean()),
                "peak_divergence": float(signals.divergence.max()),
                "entropy": float(signals.entropy.mean()),
                "branching": float(signals.branching.mean()),
                "branching_spread": float(signals.branching.std(correction=0)),
                "relative_branching": float(signals.relative_branching.mean()),
                "normalised_branching": normalised_branching(signals, bare),
                "bare_loss": verdict.loss,
            }
            shown = {key: _shown(number) for key, number in row.items()}
            cells.append({"way": way["name"], "prompt": place, **shown})
    return cells


def summary(config: dict[str, Any], cells: Sequence[Cell]) -> list[Cell]:
    """For every way: scores and signals by target, and how signals and outcomes go together.

    Args:
        config: what was run.
        cells: what came out, of every continuation.
    """
    return [
        {
            "way": way["name"],
            "by_target": [_at(mine, target) for target in way["targets"]],
            "correlations": [
                _together(mine, signal, outcome, config["resamples"])
                for outcome in OUTCOMES
                for signal in SIGNALS
            ],
        }
        for way in config["ways"]
        for mine in [[cell for cell in cells if cell["way"] == way["name"]]]
    ]


def _at(cells: Sequence[Cell], target: float) -> Cell:
    there = [cell for cell in cells if cell["target"] == target]
    columns = (*OUTCOMES, *SIGNALS[1:])
    return {
        "target": target,
        **{name: asdict(estimate(_column(there, name))) for name in columns},
    }


def _together(cells: Sequence[Cell], signal: str, outcome: str, resamples: int) -> Cell:
    known = [cell for cell in cells if cell[outcome] is not None]
    x, y, targets = (_column(known, name) for name in (signal, outcome, "target"))
    prompts = [cell["prompt"] for cell in known]
    pooled = correlation(x, y, prompts, interval="percentile", resamples=resamples)
    row: Cell = {
        "outcome": outcome,
        "signal": signal,
        "missing": len(cells) - len(known),
        "pooled": asdict(pooled),
    }
    if signal != "target":
        statistic = partial(within, x, y, targets)
        found = estimate_of(statistic, prompts, interval="percentile", resamples=resamples)
        row["within_targets"] = asdict(found)
    return row


def _column(cells: Sequence[Cell], name: str) -> np.ndarray:
    return np.array([cell[name] for cell in cells], dtype=np.float64)


def _shown(number: float) -> float | None:
    """Five digits; None where there is no number."""
    return float(f"{number:.5g}") if number == number else None


def within(x: np.ndarray, y: np.ndarray, groups: np.ndarray, rows: np.ndarray) -> float:
    """Correlation of ranks, both ranked and centred in each group; 0 where a column is constant.

    Args:
        x: one column.
        y: the other.
        groups: of every row.
        rows: those to look at.
    """
    a, b = np.empty(len(rows)), np.empty(len(rows))
    for group in np.unique(groups[rows]):
        here = groups[rows] == group
        for column, centred in ((x, a), (y, b)):
            ranks = rankdata(column[rows][here])
            centred[here] = ranks - ranks.mean()
    length = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / length) if length > 0 else 0.0
