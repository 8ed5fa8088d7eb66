"""`steersman serve` in a process of its own, as an operator starts it."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

PROGRAM = (sys.executable, "-c", "from steersman.cli import main; main()")
EMBEDDED = (*PROGRAM, "serve", "windtunnel", "--dtype", "float64")
_PLACE = re.compile(r"at (http://\S+)/v1")


@dataclass(frozen=True)
class RealServer:
    """A server that takes requests.

    Args:
        process: it runs here.
        url: where it listens.
        log: what it says.
    """

    process: "subprocess.Popen[bytes]"
    url: str
    log: Path

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def memory(self, which: str = "VmRSS") -> float:
        """Memory of the process, in MiB: `VmRSS` as it is, `VmHWM` at most so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(rf"^{which}:\s+(\d+) kB", status, re.MULTILINE)[0]) / 1024

    def idle(self, seconds: float = 30.0, key: str = "none") -> bool:
        """Whether nothing runs or waits before so many seconds are over."""
        until, head = time.monotonic() + seconds, {"authorization": f"Bearer {key}"}
        while time.monotonic() < until:
            text = httpx.get(f"{self.url}/metrics", headers=head, timeout=30).text
            if "steersman_running 0.0" in text and "steersman_waiting 0.0" in text:
                return True
            time.sleep(0.05)
        return False


@contextmanager
def serving(
    log: Path, *options: object, port: int = 0, command: tuple[str, ...] = EMBEDDED
) -> Iterator[RealServer]:
    """A server until the block ends; of the embedded model in double precision, if not said.

    Args:
        log: a file for what it says.
        options: of the command.
        port: 0 takes any that is free.
        command: with its model.
    """
    words = [*command, "--port", str(port), *map(str, options)]
    environment = {**os.environ, "TERM": "dumb", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as said:
        process = subprocess.Popen(words, stderr=said, env=environment)
    try:
        yield RealServer(process, _place(process, log), log)
    finally:
        process.kill()
        process.wait()


def _place(process: "subprocess.Popen[bytes]", log: Path) -> str:
    until = time.monotonic() + 300
    while time.monotonic() < until:
        found = _PLACE.findall(log.read_text())
        if found:
            return str(found[0])
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(f"the server has not started: {log.read_text()}")
