"""An evaluation that is killed, again and again, ends in the same bytes."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from steersman.evaluation.folder import SAMPLES, SETTINGS, SUMMARY

pytestmark = pytest.mark.slow

SCRIPT = """
import sys
import steersman as sm
import torch
from steersman.windtunnel import load

torch.set_num_threads(1)
print("ready", flush=True)
sm.evaluate(*load(), "toxicity", seeds=(0, 1, 2), count=24, batch_size=4, out=sys.argv[1])
"""
KILLS = 5


def start(folder: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def lines(folder: Path) -> int:
    path = folder / SAMPLES
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_five_kills_at_random_moments_change_no_byte(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    begun = time.monotonic()
    assert start(whole).wait(timeout=300) == 0
    seconds = time.monotonic() - begun
    moments, reached = random.Random(), []
    for _ in range(KILLS):
        one = start(killed)
        assert one.stdout is not None and one.stdout.readline() == "ready\n"
        time.sleep(moments.uniform(0.0, 0.4 * seconds))
        one.send_signal(signal.SIGKILL)
        one.wait()
        reached.append(lines(killed) // 4)  # whole batches
    assert reached == sorted(reached), "a whole batch was thrown away"
    assert start(killed).wait(timeout=300) == 0
    for name in (SETTINGS, SAMPLES, SUMMARY):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    assert lines(whole) == 72
