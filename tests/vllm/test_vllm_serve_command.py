"""`steersman serve --engine vllm`: a whole life of a server."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest

import steersman as sm
from steersman.windtunnel import behaviour, load

if find_spec("fastapi") is None or find_spec("httpx") is None:
    pytest.skip("the server's packages are not installed", allow_module_level=True)

import httpx

pytestmark = pytest.mark.vllm


def url_in(log: Path, server: "subprocess.Popen[bytes]", seconds: float = 600.0) -> str:
    """Where the server says that it serves, once it does."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text()[-6000:]
        found = re.findall(r"^serving .* at (http://\S+)/v1", log.read_text(), re.MULTILINE)
        if found:
            return str(found[0])
        time.sleep(0.2)
    raise AssertionError(log.read_text()[-6000:])


def test_a_server_serves_and_ends_when_it_is_told_to(with_vllm: None, tmp_path: Path) -> None:
    pairs = behaviour("concepts:music").pairs(seed=0, count=24)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        steering = sm.fit(*load(), pairs, method="activation-addition", progress=False)
    steering.save_pretrained(tmp_path / "calm")
    command = [sys.executable, "-c", "from steersman.cli import main; main()", "serve"]
    command += ["windtunnel", "--engine", "vllm", "--dtype", "float32", "--port", "0"]
    command += ["--steering", f"calm={tmp_path / 'calm'}", "--vllm-args"]
    command += [json.dumps({"enforce_eager": True, "gpu_memory_utilization": 0.1})]
    environment = {**os.environ, "TERM": "dumb", "COLUMNS": "200"}
    log = tmp_path / "log"
    with log.open("w") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
    try:
        url = url_in(log, server)
        names = [one["id"] for one in httpx.get(f"{url}/v1/models").json()["data"]]
        assert names == ["windtunnel", "windtunnel+calm"]
        asked = {"model": names[1], "prompt": "the sea", "max_tokens": 60, "stream": True, "n": 4}
        with httpx.stream("POST", f"{url}/v1/completions", json=asked, timeout=60) as answer:
            lines = answer.iter_lines()
            next(lines)
            server.send_signal(signal.SIGTERM)
            assert [line for line in lines if line][-1] == "data: [DONE]"
        server.wait(timeout=60)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/v1/models")
    finally:
        server.kill()
        server.wait()
