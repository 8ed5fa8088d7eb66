"""Every method at the same side effect on every task of the wind tunnel: `steersman compare`.

Each task is a part of its own, whose samples lie in a folder beside the results while it runs, so
that an interrupted one goes on inside a part too. What stays is the table, as data, and a page.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from parts import Cell, Parts

import steersman as sm
from steersman.windtunnel import load

RESULTS = Path(__file__).parent / "results"
SECONDS = "seconds.txt"
"""In the folder of a task: how long it took until it was interrupted, if it was."""


def parts(config: dict[str, Any]) -> Parts:
    """Every task."""
    return {task: partial(_cells, config, task) for task in config["tasks"]}


def _cells(config: dict[str, Any], task: str) -> list[Cell]:
    name = task.replace(":", "-")
    pages = RESULTS / config.get("pages", "comparison")
    folder = pages / f"{name}.partial"
    model, tokenizer = load()
    with _timed(folder):
        found = sm.compare(
            *(model, tokenizer, task, config["methods"]),
            budget=sm.KL(config["kl"]),
            targets=config["targets"],
            seeds=range(config["seeds"]),
            count=config["prompts"],
            validation=config["validation"],
            beside=config["beside"],
            maximum=config.get("maximum", 8.0),
            evaluations=config["evaluations"],
            batch_size=config["batch_size"],
            out=folder,
        )
    print(found.summary(), flush=True)
    found.to_html(pages / f"{name}.html")
    seconds = float((folder / SECONDS).read_text())
    shutil.rmtree(folder)
    return [{"task": task, "seconds": seconds, **found.to_dict(), "timing": found.timing()}]


@contextmanager
def _timed(folder: Path) -> Iterator[None]:
    """Add up the seconds of all the times that a task was taken up."""
    folder.mkdir(parents=True, exist_ok=True)
    kept, started = folder / SECONDS, time.perf_counter()
    before = float(kept.read_text()) if kept.exists() else 0.0
    try:
        yield
    finally:
        kept.write_text(f"{before + time.perf_counter() - started}\n")
