"""A server that is killed in the middle of an answer; `tests/cli` tells one to end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from real_server import RealServer, serving

import steersman as sm

ASKED = {"model": "windtunnel+sea", "prompt": "the", "temperature": 1.2, "seed": 3}


@pytest.fixture(scope="module")
def options(steerings: dict[str, sm.Steering], tmp_path_factory: pytest.TempPathFactory) -> list:
    place = tmp_path_factory.mktemp("killed")
    return ["--steering", f"sea={steerings['sea'].save_pretrained(place / 'sea')}"]


@contextmanager
def stream(server: RealServer, tokens: int, count: int) -> Iterator[Iterator[str]]:
    """The lines of a stream that has begun."""
    asked = {**ASKED, "max_tokens": tokens, "n": count, "stream": True}
    with httpx.stream("POST", f"{server.url}/v1/completions", json=asked, timeout=60) as answer:
        lines = (line for line in answer.iter_lines() if line)
        assert next(lines).startswith("data: {")
        yield lines


def test_a_killed_server_breaks_the_connection_and_the_next_one_serves(
    options: list, tmp_path: Path
) -> None:
    with serving(tmp_path / "first", *options) as first:
        with stream(first, 400, 8) as lines, pytest.raises(httpx.TransportError):
            first.process.send_signal(signal.SIGKILL)
            list(lines)
        assert first.process.wait(timeout=30) == -signal.SIGKILL
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{first.url}/health")
        # The same address, at once, though connections of the dead one may linger.
        with serving(tmp_path / "second", *options, port=first.port) as second:
            assert second.url == first.url
            found = httpx.post(f"{second.url}/v1/completions", json=ASKED, timeout=60)
            assert found.status_code == 200 and found.json()["choices"][0]["text"]
