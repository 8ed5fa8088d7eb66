"""Do bounds hold on prompts that they were not made from, and how tight are they?

A steering is fitted, bounded on calibration prompts, and judged on held-out ones. All prompts are
undesired examples of other pairs than the fit's, which end at a decision token; the plant is that
of the fit. Costs are those of feature LQR, as designed and as attached.
"""

import math
import random
import warnings
from functools import partial
from typing import Any

import torch
from parts import Cell, Parts
from torch import Tensor

import steersman as sm
from steersman.bounding import (
    Attachment,
    Coverage,
    TrackingBound,
    realised_cost,
    without_prefilter,
)
from steersman.control import conformal_bound
from steersman.methods import METHODS
from steersman.windtunnel import behaviour, load

SPLITS = 500


def parts(config: dict[str, Any]) -> Parts:
    """Every behaviour and way, and the costs of every behaviour."""
    ways = {
        f"{name}, {way['name']}": partial(_bound_cells, config, name, way)
        for name in config["behaviours"]
        for way in config["ways"]
    }
    costs = {f"{name}, cost": partial(_cost_cells, config, name) for name in config["behaviours"]}
    return ways | costs


class _Case:
    """A behaviour's model, plant and prompts; `fit` fits a method."""

    def __init__(self, config: dict[str, Any], name: str) -> None:
        warnings.simplefilter("ignore", UserWarning)
        self.model, self.tokenizer = load()
        asked = behaviour(name)
        self.pairs = asked.pairs(config["pair_seed"], config["pairs"])
        prompts = self.pairs.desired[: config["plant_prompts"]]
        self.plant = sm.identify(self.model, self.tokenizer, prompts, progress=False)
        count = config["calibration"] + config["held_out"]
        drawn = [str(text) for text in asked.pairs(config["prompt_seed"], count).undesired]
        self.calibration = drawn[: config["calibration"]]
        self.held_out = drawn[config["calibration"] :]

    def fit(self, method: str) -> sm.Steering:
        return sm.fit(
            self.model,
            self.tokenizer,
            self.pairs,
            method=METHODS[method](),
            jacobian_prompts=self.plant,
            batch_size=32,
            progress=False,
        )


def _bound_cells(config: dict[str, Any], name: str, way: dict[str, Any]) -> list[Cell]:
    case = _Case(config, name)
    bound = sm.bound(
        case.fit(way["method"]),
        case.model,
        case.tokenizer,
        case.calibration,
        plant=case.plant,
        target=config["target"],
        level=config["level"],
        safety=config["safety"],
        progress=False,
        **way["attach"],
    )
    coverage = bound.coverage(case.model, case.tokenizer, case.held_out)
    cell = {
        "behaviour": name,
        "way": way["name"],
        "states": bound.foresight.counted.nonzero().flatten().tolist(),
        "rows": [row._asdict() for row in coverage.rows()],
        "by_state": _by_state(bound, coverage),
        "budget": [row._asdict() for row in bound.budget()],
        "remainder": _remainder(bound),
        "conformal_over_splits": _over_splits(config, bound, coverage),
    }
    print(f"{name} {way['name']}\n{coverage.table()}", flush=True)
    return [cell]


def _by_state(bound: TrackingBound, coverage: Coverage) -> dict[str, Any]:
    """Prediction, held-out error, and every band's radius, coverage and tightness."""
    counted = bound.foresight.counted
    found: dict[str, Any] = {
        "predicted": bound.predicted[counted].tolist(),
        "median_error": coverage.errors[:, counted].median(dim=0).values.tolist(),
        "largest_error": coverage.errors[:, counted].amax(dim=0).tolist(),
    }
    for band in bound.bands:
        held, tightness = coverage.by_state(band.name)
        found[band.name] = {
            "radius": band.radius[counted].tolist(),
            "held": held[counted].tolist(),
            "tightness": tightness[counted].tolist(),
        }
    return found


def _remainder(bound: TrackingBound) -> dict[str, list[float]]:
    """The largest parts of every block's remainder, in the norms of the loop, with the safety."""
    found = bound.calibration.remainder
    assert found is not None
    return {name: values.tolist() for name, values in vars(found).items()}


def _over_splits(config: dict[str, Any], bound: TrackingBound, held: Coverage) -> dict[str, float]:
    """The conformal bands' coverage over random splits of all prompts into the two sets.

    The promise is for the mean over splits; one split's coverage is random.
    """
    counted, scale = bound.foresight.counted, bound.foresight.scale
    errors = torch.cat([bound.calibration.errors, held.errors])[:, counted]
    scores = (errors / scale[counted]).amax(dim=1)
    draw, each, every = random.Random(0), [], []
    for _ in range(SPLITS):
        order = list(range(len(errors)))
        draw.shuffle(order)
        first, rest = order[: config["calibration"]], order[config["calibration"] :]
        each.append(_covered(errors, first, rest, config["level"]))
        every.append(_covered(scores, first, rest, config["level"]))
    return {
        "level": config["level"],
        "pairs_mean": float(torch.stack(each).mean()),
        "pairs_low": float(torch.stack(each).quantile(0.05)),
        "runs_mean": float(torch.stack(every).mean()),
        "runs_low": float(torch.stack(every).quantile(0.05)),
    }


def _covered(scores: Tensor, first: list[int], rest: list[int], level: float) -> Tensor:
    return (scores[rest] <= conformal_bound(scores[first], level)).double().mean()


def _known(row: dict[str, float]) -> dict[str, float | None]:
    """The same with nothing where a number is not known, which JSON has no sign for."""
    return {name: value if math.isfinite(value) else None for name, value in row.items()}


def _cost_cells(config: dict[str, Any], name: str) -> list[Cell]:
    case = _Case(config, name)
    fitted = case.fit("feature-lqr")
    shown = sm.authority(fitted, case.plant)
    cells: list[Cell] = [
        {
            "behaviour": name,
            "authority": [_known(row._asdict()) for row in shown.rows()],
            "together": shown.together,
        }
    ]
    for law, steering in (
        ("as designed", without_prefilter(fitted, case.plant)),
        ("as attached", fitted),
    ):
        for execution in ("plan", "feedback"):
            attachment = Attachment(steering, case.plant, config["target"], execution)
            found = realised_cost(attachment, case.model, case.tokenizer, case.held_out)
            ratio, se = found.ratio
            cells.append(
                {
                    "behaviour": name,
                    "law": law,
                    "execution": execution,
                    "cost_to_go": found.optimum,
                    "predicted": found.predicted,
                    "realised": float(found.realised.mean()),
                    "tracking": float(found.tracking.mean()),
                    "effort": float(found.effort.mean()),
                    "predicted_over_realised": ratio,
                    "se": se,
                }
            )
            print(f"{name}, {law}, {execution}: {ratio:.4f} +- {se:.4f}", flush=True)
    return cells
