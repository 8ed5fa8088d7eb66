"""Without its packages the server says what to install."""

import subprocess
import sys

import pytest

SLOWLY = [pytest.param(one, marks=pytest.mark.slow) for one in ("uvicorn", "prometheus_client")]


@pytest.mark.parametrize("package", ["fastapi", *SLOWLY])
def test_a_missing_package_is_the_command_that_installs_it(package: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from steersman.cli import main\n"
        "sys.argv = ['steersman', 'serve', 'no-such-model']\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "pip install 'steersman[serve]'" in done.stderr
    assert "Traceback" not in done.stderr
