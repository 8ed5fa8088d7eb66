"""The example for many processes runs as its launchers start it, and says the same as one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import steersman

EXAMPLE = str(Path(__file__).parents[1] / "examples" / "many_processes.py")
TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ACCELERATE = ["accelerate.commands.accelerate_cli", "launch", "--multi_gpu", "--num_processes", "2"]
ACCELERATE += ["--main_process_port", "0"]


def printed_by(*command: str) -> str:
    source = str(Path(steersman.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def size(printed: str, processes: int) -> str:
    """The plant's norm, which only the first process prints."""
    (found,) = re.findall(rf"identified by {processes} in .*\|A\| = ([0-9.]+)", printed)
    return str(found)


@pytest.fixture(scope="module")
def alone() -> str:
    """The norm that one process finds."""
    return size(printed_by(EXAMPLE), 1)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [TORCHRUN, ACCELERATE], ids=["torchrun", "accelerate"])
def test_the_example_finds_the_same_plant_in_two_processes(launcher: list[str], alone: str) -> None:
    assert size(printed_by("-m", *launcher, EXAMPLE), 2) == alone
