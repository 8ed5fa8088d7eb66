"""What a design costs: dense LQR against feature LQR, from token ids to a law.

Both sides linearise one prompt of a random Llama at its last token. Dense LQR takes the matrices of
every block and solves a Riccati equation of the model's width; feature LQR takes products only. The
fitted exponents are those of `seconds = c n^a T^b` and of the same for memory, by least squares of
logarithms. Memory is that of a fresh process: its peak beyond what the loaded model holds.
"""

import multiprocessing
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from parts import Cell, Parts
from random_llama import random_llama
from timing import Side, alternate, ratios, spread, taken_by
from torch import Tensor

from steersman.control import LTVSystem
from steersman.directions import Direction, Features
from steersman.methods import ALQR, Evidence, FeatureLQR
from steersman.plant import Averaged, jacobians, linearize

SIDES = ("dense", "feature")


def parts(config: dict[str, Any]) -> Parts:
    """Every width and depth."""
    return {
        f"n = {n}, {blocks} blocks": partial(_cells, config, n, blocks)
        for n in config["widths"]
        for blocks in config["blocks"]
    }


def summary(config: dict[str, Any], cells: Sequence[Cell]) -> list[Cell]:
    """Exponents of width and depth for each side, in time and in memory.

    Args:
        config: what was run.
        cells: what came out.
    """
    return [
        {
            "side": side,
            "of": what,
            **exponents([(c["n"], c["blocks"], c[side][what]) for c in cells]),
        }
        for side in SIDES
        for what in ("seconds", "megabytes")
    ]


def exponents(points: Sequence[tuple[int, int, float]]) -> dict[str, float]:
    """`a` and `b` of `y = c n^a T^b`, and how far the points are from it.

    Args:
        points: width, depth and what was measured.
    """
    known = np.log([[n, blocks] for n, blocks, _ in points])
    wanted = np.log([max(value, 1e-3) for _, _, value in points])
    design = np.column_stack([known, np.ones(len(points))])
    found, *_ = np.linalg.lstsq(design, wanted, rcond=None)
    left = wanted - design @ found
    return {
        "width": float(found[0]),
        "depth": float(found[1]),
        "rms_of_logarithms": float(np.sqrt(np.mean(left**2))),
    }


def _cells(config: dict[str, Any], n: int, blocks: int) -> list[Cell]:
    model = random_llama(n, blocks, config["vocabulary"])
    ids = _ids(config)
    sides = {side: partial(_design, side, model, ids) for side in SIDES}
    seconds = {side: _median(sides[side], config["repeats"]) for side in SIDES}

    def prefill() -> None:
        with torch.no_grad():
            model(input_ids=ids, logits_to_keep=1)

    before, redesign = alternate(prefill, sides["feature"], config["pairs"])
    multiple = ratios(redesign, before)["processor"]
    before, attempt = alternate(prefill, _attempt(model, ids), config["pairs"])
    cell = {
        "n": n,
        "blocks": blocks,
        **{
            side: {"seconds": seconds[side], "megabytes": _megabytes(config, side, n, blocks)}
            for side in SIDES
        },
        "redesign_over_prefill": spread(multiple),
        "redesign_over_prefill_each": multiple,
        "try_over_prefill": spread(ratios(attempt, before)["processor"]),
    }
    print(*(f"{side} {_shown(cell[side])};" for side in SIDES), end=" ")
    print(f"redesign {cell['redesign_over_prefill']['median']:.2f} prefills,", end=" ")
    print(f"a try {cell['try_over_prefill']['median']:.3f}", flush=True)
    return [cell]


def _shown(cost: dict[str, float]) -> str:
    return f"{cost['seconds']:.3f} s, {cost['megabytes']:.1f} MB"


def _design(side: str, model: Any, ids: Tensor) -> None:
    features = Features.of(_direction(model.config.hidden_size, model.config.num_hidden_layers))
    if side == "dense":
        ALQR().solve(Evidence(features, LTVSystem(jacobians(model, ids))))
    else:
        run = linearize(model, ids, chunk=FeatureLQR().columns(1), keep=True)
        FeatureLQR().solve(Evidence(features, Averaged((run,))))


def _attempt(model: Any, ids: Tensor) -> Side:
    """The last token through all blocks behind its prefix: what trying a law out costs once."""
    run = linearize(model, ids, chunk=FeatureLQR().columns(1), keep=True)

    def attempt() -> None:
        x = run.states[:1].T
        for block in range(len(run.blocks)):
            x = run.outputs(block, x)

    return attempt


def _direction(n: int, blocks: int) -> Direction:
    vectors = torch.randn(blocks + 1, n, generator=torch.Generator().manual_seed(0))
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    ones = torch.ones(blocks + 1)
    return Direction(vectors.clone(), vectors, ones, 0 * ones, 2 * ones, 0.2 * ones)


def _ids(config: dict[str, Any]) -> Tensor:
    return torch.arange(config["prompt"])[None] % config["vocabulary"]


def _median(side: Side, repeats: int) -> float:
    side()
    return float(np.median([taken_by(side).processor for _ in range(repeats)]))


def _megabytes(config: dict[str, Any], side: str, n: int, blocks: int) -> float:
    """In a process of its own, so that no earlier peak hides this one."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return float(pool.apply(_peak, (config, side, n, blocks)))


def _peak(config: dict[str, Any], side: str, n: int, blocks: int) -> float:
    torch.set_num_threads(1)
    model, ids = random_llama(n, blocks, config["vocabulary"]), _ids(config)
    with torch.no_grad():
        model(input_ids=ids, logits_to_keep=1)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    start = _high_water()
    _design(side, model, ids)
    return _high_water() - start


def _high_water() -> float:
    """Most memory that this process has had, in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
