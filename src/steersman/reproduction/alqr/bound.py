"""Does the tracking bound hold on prompts that it was not made from?"""

from typing import TYPE_CHECKING

import torch

from steersman.bounding import Coverage, bound
from steersman.evaluation.scores import Score
from steersman.reproduction.alqr.sources import GEMMA, NO_SPLIT, QUOTED
from steersman.reproduction.alqr.tracking import TRACKED, prompts_of
from steersman.reproduction.bench import Bench
from steersman.reproduction.found import Found, Line
from steersman.reproduction.item import Item, Measure, Sizes
from steersman.reproduction.published import Published
from steersman.reproduction.statistics import exact
from steersman.reproduction.ways import default

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HELD, RUNS, LOOSE = "held", "runs", "loose"
_WHOLE = "whole state"
_LEVEL = 0.95


def _measured(bench: Bench) -> Found:
    task = bench.sources.first(TRACKED)
    fitting, way = bench.fitting(task), default()
    made, held_out = (
        prompts_of(bench, task, split, bench.sizes.count) for split in ("validation", "test")
    )
    level = min(_LEVEL, len(made) / (len(made) + 1))
    found = bound(
        *(bench.steering(way, fitting), bench.model, bench.tokenizer, made),
        plant=bench.plant(fitting),
        level=level,
        progress=bench.progress,
    )
    coverage = found.coverage(bench.model, bench.tokenizer, held_out, progress=bench.progress)
    lines = [
        Line(
            f"{row.name}, {level:.3g}" if row.name.startswith("conformal") else row.name,
            _WHOLE if row.name == _WHOLE else "",
            _values(row.pairs, row.pairs_se, row.runs, row.tightness, len(held_out)),
        )
        for row in coverage.rows()
    ]
    told = (
        f"Steered for {task.name} by {way.label}, at the prompt's last token; made from "
        f"{len(made)} prompts of the validation split and checked on {len(held_out)} of the test "
        "split.",
    )
    return Found(
        tuple(lines), (*told, *fitting.notes), {"task": task.name, "bands": _bands(coverage)}
    )


def _values(
    held: float, se: float, runs: float, tightness: float, prompts: int
) -> dict[str, Score]:
    return {
        HELD: exact(held, se, prompts),
        RUNS: exact(runs, (runs * (1 - runs) / prompts) ** 0.5, prompts),
        LOOSE: exact(tightness, count=prompts),
    }


def _bands(coverage: Coverage) -> dict[str, object]:
    counted = coverage.counted
    return {
        "states": counted.nonzero().flatten().tolist(),
        "radii": {band.name: band.radius[counted].tolist() for band in coverage.bands},
        "errors": coverage.errors[:, counted].tolist(),
    }


def _figure(found: Found) -> "Figure":
    from steersman.plots import bound_figure

    bands = found.more["bands"]
    return bound_figure(
        bands["states"], bands["radii"], torch.tensor(bands["errors"], dtype=torch.float64)
    )


ITEM = Item(
    name="bound",
    title="Tracking bound",
    shows=(
        "A bound of the closed loop's tracking error at every layer, in the norm of the loop's "
        "Lyapunov matrices, with curvatures estimated from runs (Theorem 4.2, Figure 3)."
    ),
    needs=(TRACKED,),
    sizes=Sizes(200, jacobians=35),
    work="2 x 200 prompts read twice, and Jacobians at the first 200",
    measures=(
        Measure(HELD, "states at which it held, %", 100.0, 1),
        Measure(RUNS, "prompts at all states of which it held, %", 100.0, 1),
        Measure(LOOSE, "median of bound / error", 1.0, 2),
    ),
    measure=_measured,
    published=(
        Published(
            *(HELD, _WHOLE, GEMMA, 100.0, QUOTED, True),
            note="of a figure, and on the runs that its curvatures were taken from",
        ),
    ),
    unknown="How tight the paper's bound is.",
    differs=(
        NO_SPLIT + " Curvatures are of other prompts than those that the bound is checked on.",
        "The paper's bound is that of the whole state; the others bound the feature alone.",
        "For a relative reference, in units of what is asked; an absolute one asks every token for "
        "another move.",
    ),
    sized=("pairs", "jacobians"),
    figure=_figure,
    caption=(
        "Errors of the predicted feature on prompts of the test split, and the bounds: blue the "
        "median, and from the 10th percentile to the largest; orange the bounds."
    ),
)
"""The figure of the bound."""
