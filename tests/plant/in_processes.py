"""Jobs that several real processes do together, and the server that forks them quickly.

The server imports torch and the jobs once, so that a job of two processes takes half a second.
Shapes are not checked in there: that would double the time that the server takes to start.
"""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

import steersman

PATIENCE = 60.0
"""Seconds after which processes are ended by the test itself."""


@dataclass(frozen=True)
class Outcome:
    """How a process ended: with a value, with an error, or with neither: it died."""

    value: Any = None
    error: str = ""
    message: str = ""
    seconds: float = 0.0
    died: bool = False


def in_processes(
    count: int,
    job: Callable[..., Any],
    *args: Any,
    backend: str = "gloo",
) -> list[Outcome]:
    """What `job(rank, *args)` comes to in each of `count` processes of one group."""
    context = _context()
    with tempfile.TemporaryDirectory() as folder:
        meeting = f"file://{folder}/meeting"
        ends = [context.Pipe(duplex=False) for _ in range(count)]
        started = [
            context.Process(target=_run, args=(give, rank, count, meeting, backend, job, args))
            for rank, (_, give) in enumerate(ends)
        ]
        try:
            for process in started:
                process.start()
            for _, give in ends:
                give.close()
            return [_outcome(take) for take, _ in ends]
        finally:
            for process in started:
                process.kill()
                process.join()


def values(outcomes: Sequence[Outcome]) -> list[Any]:
    """The values of processes that all succeeded."""
    for one in outcomes:
        assert not one.error and not one.died, one
    return [one.value for one in outcomes]


def _outcome(take: Connection) -> Outcome:
    assert take.poll(PATIENCE), "a process hangs"
    try:
        return Outcome(*take.recv())
    except EOFError:
        return Outcome(died=True)


def _run(
    give: Connection,
    rank: int,
    count: int,
    meeting: str,
    backend: str,
    job: Callable[..., Any],
    args: tuple[Any, ...],
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        backend,
        init_method=meeting,
        rank=rank,
        world_size=count,
        timeout=timedelta(seconds=PATIENCE / 2),
    )
    started = time.monotonic()
    try:
        found: tuple[Any, ...] = (job(rank, *args), "", "")
    except Exception as error:
        found = (None, type(error).__name__, str(error))
    give.send((*found, time.monotonic() - started))


def _context() -> Any:
    """A fork server that has imported the jobs; it looks for modules along PYTHONPATH."""
    before = os.environ.get("PYTHONPATH")
    places = [str(Path(__file__).parent), str(Path(steersman.__file__).parents[1])]
    os.environ["PYTHONPATH"] = os.pathsep.join([*places, *([before] if before else [])])
    try:
        multiprocessing.set_forkserver_preload(["process_jobs"])
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before
    return multiprocessing.get_context("forkserver")
