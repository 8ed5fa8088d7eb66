"""Evaluations and comparisons that are killed, again and again, end in the same bytes."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from steersman.evaluation.folder import SAMPLES

pytestmark = pytest.mark.slow

START = """
import sys
import steersman as sm
import torch
from steersman.windtunnel import load

torch.set_num_threads(1)
print("ready", flush=True)
"""
EVALUATE = """
sm.evaluate(*load(), "toxicity", seeds=(0, 1, 2), count=24, batch_size=4, out=sys.argv[1])
"""
COMPARE = """
sm.compare(
    *load(), "truthfulness", ["clamp", "a-lqr"], beside=["knowledge"], out=sys.argv[1],
    seeds=(0, 1), count=8, validation=6, pairs=12, targets=(0.5, 1.0), evaluations=7,
    batch_size=4, repeats=1,
)
"""
KILLS = 5
TIMES = ("run.json", "timing.json", "steering.seconds.json")
"""What is a time or tells one, and so is never the same twice."""


def start(script: str, folder: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", START + script, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def lines(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.rglob(SAMPLES))


def contents(folder: Path) -> dict[str, bytes]:
    """What every file holds, but for times."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in TIMES
    }


@pytest.mark.parametrize(
    ("script", "count", "batch"),
    [(EVALUATE, 72, 4), (COMPARE, 2 * 8 * (3 + 3 * 4), 1)],
    ids=["evaluation", "comparison"],
)
def test_five_kills_at_random_moments_change_no_byte(
    script: str, count: int, batch: int, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    begun = time.monotonic()
    assert start(script, whole).wait(timeout=600) == 0
    seconds = time.monotonic() - begun
    moments, reached = random.Random(), []
    for _ in range(KILLS):
        one = start(script, killed)
        assert one.stdout is not None and one.stdout.readline() == "ready\n"
        time.sleep(moments.uniform(0.0, 0.4 * seconds))
        one.send_signal(signal.SIGKILL)
        one.wait()
        reached.append(lines(killed) // batch)  # whole batches
    assert reached == sorted(reached), "a whole batch was thrown away"
    assert start(script, killed).wait(timeout=600) == 0
    made, expected = contents(killed), contents(whole)
    assert sorted(made) == sorted(expected)
    assert [name for name in made if made[name] != expected[name]] == []
    assert lines(whole) == count
