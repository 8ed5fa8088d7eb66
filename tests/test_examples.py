"""Every example runs as a user would run it, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import steersman

EXAMPLES = Path(__file__).parents[1] / "examples"
SHOWN = {
    "calibrate.py": "asked for at least 0.5, met",
    "quickstart.py": "steered, ",
    "own_pairs.py": "target 2.0: ",
    "save_and_load.py": "the same logits: True",
    "per_row.py": "forest, target 2.0: ",
    "paper_form.py": "relative plan",
    "several.py": "sea 1.0, music 1.0: ",
    "many_processes.py": "12 prompts identified by 1 in ",
}
"""What each one prints when it got to where it wanted."""


def printed_by(name: str) -> str:
    source = str(Path(steersman.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return done.stdout


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SHOWN)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHOWN)
def test_an_example_runs_on_the_embedded_model(name: str) -> None:
    assert SHOWN[name] in printed_by(name)
