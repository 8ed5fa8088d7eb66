"""Where vLLM does not load the package, whoever asks is told why."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.vllm

CODE = """
from vllm.plugins import load_general_plugins
load_general_plugins()
from steersman.errors import InputError
from steersman.vllm.plugin import require_registered
try:
    require_registered()
except InputError as error:
    print("told:", error)
else:
    print("told: nothing")
"""


@pytest.mark.parametrize(
    ("plugins", "stale", "said"),
    [
        (None, False, "nothing"),
        ("lora", False, "VLLM_PLUGINS is 'lora'. Add steersman to it"),
        (None, True, "does not name its plugin"),
    ],
)
def test_it_is_told_why_the_package_is_not_at_work(
    plugins: str | None, stale: bool, said: str, with_vllm: None, tmp_path: Path
) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "VLLM_PLUGINS"}
    if plugins is not None:
        environment["VLLM_PLUGINS"] = plugins
    if stale:
        (tmp_path / "steersman.egg-info").mkdir()
        (tmp_path / "steersman.egg-info" / "PKG-INFO").write_text(
            "Metadata-Version: 2.1\nName: steersman\nVersion: 0.0.1\n"
        )
        environment["PYTHONPATH"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, timeout=300
    )
    told = [line for line in done.stdout.splitlines() if line.startswith("told:")]
    assert told and said in told[0], done.stdout + done.stderr
