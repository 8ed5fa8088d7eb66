"""Run benchmarks: `python benchmarks/run.py all`, or with the names or paths of configurations.

A configuration is a JSON file in `configs/` that names its benchmark; its result goes to
`results/` under the same name, with the machine, the library versions and every raw timing. A run
that was interrupted goes on after its last finished part when the same command is given again.
"""

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import artifact
import asking
import bounds
import calibration
import closed_loop
import comparison
import crowd
import design
import equal_divergence
import executing
import fitting
import holding
import indicators
import linearisation
import machine
import overhead
import overhead_of_methods
import real_models
import serving
import torch
import tracking
from parts import Cell, Parts

HERE = Path(__file__).parent
FORMAT = 1
BENCHMARKS: dict[str, Callable[[dict[str, Any]], Parts]] = {
    "artifact": artifact.parts,
    "asking": asking.parts,
    "calibration": calibration.parts,
    "bounds": bounds.parts,
    "closed_loop": closed_loop.parts,
    "comparison": comparison.parts,
    "crowd": crowd.parts,
    "design": design.parts,
    "equal_divergence": equal_divergence.parts,
    "executing": executing.parts,
    "fitting": fitting.parts,
    "holding": holding.parts,
    "indicators": indicators.parts,
    "linearisation": linearisation.parts,
    "overhead": overhead.parts,
    "overhead_of_methods": overhead_of_methods.parts,
    "real_models": real_models.parts,
    "serving": serving.parts,
    "tracking": tracking.parts,
}
SUMMARIES: dict[str, Callable[[dict[str, Any], list[Cell]], list[Cell]]] = {
    "asking": asking.summary,
    "design": design.summary,
    "calibration": calibration.summary,
    "equal_divergence": equal_divergence.summary,
    "fitting": fitting.summary,
    "holding": holding.summary,
    "indicators": indicators.summary,
    "overhead_of_methods": overhead_of_methods.summary,
}


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("configs", nargs="+", help="'all', a name in configs/, or a JSON file")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="where they go")
    given = parser.parse_args()
    for path in _paths(given.configs):
        given.results.mkdir(parents=True, exist_ok=True)
        target = given.results / path.name
        result = run(json.loads(path.read_text()), target.with_suffix(".partial"))
        target.write_text(json.dumps(result, indent=1) + "\n")
        target.with_suffix(".partial").unlink(missing_ok=True)
        print(f"{target}: {result['seconds']:.0f} s")


def run(config: dict[str, Any], partial: Path) -> dict[str, Any]:
    """One benchmark: what was asked, where it ran, what came out.

    Args:
        config: what to run.
        partial: where finished parts are kept until all of them are.
    """
    torch.manual_seed(0)
    torch.set_num_threads(config.get("threads", torch.get_num_threads()))
    known = json.loads(partial.read_text()) if partial.exists() else {}
    done: dict[str, Any] = known["parts"] if known.get("config") == config else {}
    place = machine.describe()
    for name, measure in BENCHMARKS[config["benchmark"]](config).items():
        if name in done:
            continue
        print(name, flush=True)
        start = time.perf_counter()
        cells = measure()
        done[name] = {"seconds": time.perf_counter() - start, "cells": cells}
        partial.write_text(json.dumps({"config": config, "parts": done}))
    cells = [cell for part in done.values() for cell in part["cells"]]
    summary = SUMMARIES.get(config["benchmark"])
    return {
        "format": FORMAT,
        "benchmark": config["benchmark"],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": sum(part["seconds"] for part in done.values()),
        "config": config,
        "machine": place,
        **({"summary": summary(config, cells)} if summary else {}),
        "cells": cells,
    }


def _paths(names: list[str]) -> list[Path]:
    if names == ["all"]:
        return sorted((HERE / "configs").glob("*.json"))
    return [Path(n) if n.endswith(".json") else HERE / "configs" / f"{n}.json" for n in names]


if __name__ == "__main__":
    main()
