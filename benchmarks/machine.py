"""What a benchmark ran on: processor, memory, library versions, and how fast it multiplies."""

import os
import platform
import time
from pathlib import Path
from typing import Any

import torch
from timing import taken_by

from steersman.provenance import library_versions


def describe() -> dict[str, Any]:
    """The machine and the libraries, as plain data."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": library_versions(),
        "load_average": os.getloadavg()[0],
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def multiply_rate(rows: int, inner: int, columns: int, seconds: float = 0.5) -> float:
    """Float32 multiply-adds a second of `(rows, inner) @ (inner, columns)`, the fastest product.

    Args:
        rows: rows of the left factor.
        inner: what is summed over.
        columns: columns of the right factor.
        seconds: for how long to measure.
    """
    left, right = torch.randn(rows, inner), torch.randn(inner, columns)
    taken: list[float] = []
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(taken) < 5:
        taken.append(taken_by(lambda: torch.mm(left, right)).processor)
    return rows * inner * columns / min(taken)
