"""Run benchmarks: `python benchmarks/run.py all`, or with the names or paths of configurations.

A configuration is a JSON file in `configs/` that names its benchmark; its result goes to
`results/` under the same name, with the machine, the library versions and every raw timing.
"""

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import artifact
import closed_loop
import linearisation
import machine
import overhead
import torch

HERE = Path(__file__).parent
FORMAT = 1
BENCHMARKS: dict[str, Callable[[dict[str, Any]], list[dict[str, Any]]]] = {
    "artifact": artifact.measure,
    "closed_loop": closed_loop.measure,
    "linearisation": linearisation.measure,
    "overhead": overhead.measure,
}


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("configs", nargs="+", help="'all', a name in configs/, or a JSON file")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="where they go")
    given = parser.parse_args()
    for path in _paths(given.configs):
        result = run(json.loads(path.read_text()))
        given.results.mkdir(parents=True, exist_ok=True)
        target = given.results / path.name
        target.write_text(json.dumps(result, indent=1) + "\n")
        print(f"{target}: {result['seconds']:.0f} s")


def run(config: dict[str, Any]) -> dict[str, Any]:
    """One benchmark: what was asked, where it ran, what came out."""
    torch.manual_seed(0)
    torch.set_num_threads(config.get("threads", torch.get_num_threads()))
    place = machine.describe()
    start = time.perf_counter()
    cells = BENCHMARKS[config["benchmark"]](config)
    return {
        "format": FORMAT,
        "benchmark": config["benchmark"],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": time.perf_counter() - start,
        "config": config,
        "machine": place,
        "cells": cells,
    }


def _paths(names: list[str]) -> list[Path]:
    if names == ["all"]:
        return sorted((HERE / "configs").glob("*.json"))
    return [Path(n) if n.endswith(".json") else HERE / "configs" / f"{n}.json" for n in names]


if __name__ == "__main__":
    main()
