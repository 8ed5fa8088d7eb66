"""`steersman serve`: what it refuses before a model is loaded, and a whole life of a server."""

import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("fastapi") is None or find_spec("uvicorn") is None:
    pytest.skip("the server's packages are not installed", allow_module_level=True)

import httpx


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--steering", "calm"), "NAME=DIR"),
        (("--steering", "calm=nowhere"), "no folder"),
        (("--steering", "calm=.", "--steering", "calm=."), "twice"),
        (("--engine", "vllm"), "pip install 'steersman[serve,vllm]'"),
        (("--vllm-args", "{}"), "--vllm-args are for --engine vllm"),
        (("--key-file", "nowhere"), "cannot be read"),
        (("--host", "203.0.113.1"), "cannot be listened at"),
    ],
)
def test_what_cannot_be_is_said_before_a_model_is_loaded(words, said, steersman):
    result = steersman("serve", "no-such-model", *words)
    assert result.exit_code == 1
    assert said in result.stderr


def test_a_name_that_cannot_be_served_is_refused(steersman, saved_model, saved_steering):
    result = steersman("serve", saved_model, "--steering", f"a.b={saved_steering}", "--port", 0)
    assert result.exit_code == 1 and "cannot be served as 'a.b'" in result.stderr


def test_a_steering_of_another_model_is_refused(steersman, other_model, saved_steering):
    result = steersman("serve", other_model, "--steering", f"calm={saved_steering}", "--port", 0)
    assert result.exit_code == 1 and "was made for" in result.stderr


def test_a_server_serves_and_ends_when_it_is_told_to(
    saved_model: Path, saved_steering: Path, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text("a-key\n")
    command = [sys.executable, "-c", "from steersman.cli import main; main()", "serve", saved_model]
    options = ["--steering", f"calm={saved_steering}", "--port", "0", "--key-file", key]
    environment = {**os.environ, "TERM": "dumb", "COLUMNS": "200"}
    server = subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, text=True, env=environment
    )
    assert server.stderr is not None
    try:
        said = next(line for line in server.stderr if line.startswith("serving "))
        url = re.findall(r"http://\S+/v1", said)[0]
        assert "with calm" in said and str(saved_model.parent) not in said
        head = {"Authorization": "Bearer a-key"}
        names = [one["id"] for one in httpx.get(f"{url}/models", headers=head).json()["data"]]
        assert names == [saved_model.name, f"{saved_model.name}+calm"]
        asked = {"model": names[1], "prompt": "the cat", "max_tokens": 30, "stream": True, "n": 4}
        with httpx.stream("POST", f"{url}/completions", json=asked, headers=head) as answer:
            lines = answer.iter_lines()
            next(lines)
            server.send_signal(signal.SIGTERM)
            assert [line for line in lines if line][-1] == "data: [DONE]"
        server.wait(timeout=30)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/models", headers=head)
    finally:
        server.kill()
        server.wait()
