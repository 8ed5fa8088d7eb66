"""What steering costs a server: tokens a second with nobody, half or all of the requests steered.

Servers of the same weights live side by side in processes of their own and take turns, so that what
slows the machine slows all of them; each ratio is between two turns of one round. Besides the time
by the clock there is the processor time of the server's process, which leaves out other work.

    bare     the server with its steering cut out
    again    the same once more: what pairs of turns cannot tell
    idle     the server as it is, without a steering
    loaded   with two: `plan` adds a schedule, `loop` compares with an unsteered run of the batch

Two processes of one program may differ for as long as they live, so every steered way of the loaded
server is compared with its own unsteered turns too.
"""

import asyncio
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from parts import Cell, Parts
from random_llama import random_llama
from timing import spread

import steersman as sm
from steersman.windtunnel import behaviour, load

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "tests" / "serving"))

from real_server import PROGRAM, RealServer, serving  # noqa: E402

PROMPTS = ("the sailor said", "once upon a time", "in the morning the ship", "the old king")

PROGRAMS = {
    "bare": (sys.executable, str(HERE / "bare_server.py")),
    "again": (sys.executable, str(HERE / "bare_server.py")),
    "idle": PROGRAM,
    "loaded": PROGRAM,
}


class Way(NamedTuple):
    """One kind of turn.

    Attributes:
        server: which of them.
        share: of the requests that are steered.
        steering: by what.
    """

    server: str
    share: float = 0.0
    steering: str = ""


WAYS = {
    "bare": Way("bare"),
    "again": Way("again"),
    "idle": Way("idle"),
    "loaded, nobody": Way("loaded"),
    "plan, half": Way("loaded", 0.5, "plan"),
    "plan, all": Way("loaded", 1.0, "plan"),
    "loop, half": Way("loaded", 0.5, "loop"),
    "loop, all": Way("loaded", 1.0, "loop"),
}


class Turn(NamedTuple):
    """What one turn took.

    Attributes:
        tokens: that were written.
        clock: seconds.
        processor: seconds of the server's process.
    """

    tokens: int
    clock: float
    processor: float


def parts(config: dict[str, Any]) -> Parts:
    """Every model, one after the other.

    Args:
        config: widths, blocks and requests of a turn of the models; rounds, clients, tokens of an
            answer.
    """

    def of(sizes: Sequence[int]) -> Callable[[], list[Cell]]:
        return lambda: _measured(config, *sizes)

    return {f"n = {sizes[0]}": of(sizes) for sizes in config["models"]}


def _measured(config: dict[str, Any], n: int, blocks: int, requests: int) -> list[Cell]:
    turns: dict[str, list[Turn]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as place, ExitStack() as servers:
        _make(n, blocks, Path(place))
        running = {name: servers.enter_context(_server(name, Path(place))) for name in PROGRAMS}
        for number in range(config["rounds"] + 1):
            for name in list(WAYS)[:: 1 if number % 2 else -1]:
                taken = _turn(running[WAYS[name].server], config, WAYS[name], requests)
                if number:  # the first round warms up
                    turns[name].append(taken)
    cells = []
    for name, way in WAYS.items():
        cell = {"n": n, "blocks": blocks, "way": name, **compared(turns[name], turns["bare"])}
        if way.steering:
            cell["of_nobody"] = compared(turns[name], turns["loaded, nobody"])
        cells.append(cell)
    return cells


def compared(turns: Sequence[Turn], others: Sequence[Turn]) -> dict[str, Any]:
    """Tokens a second relative to another way's, round by round: median, quartiles and mean.

    A round in which the machine was taken away halves a ratio or doubles it, so that the median
    tells more than the mean and its standard error.

    Args:
        turns: of one way.
        others: of the other, in the same rounds.
    """
    found: dict[str, Any] = {}
    for clock in ("clock", "processor"):
        rates = [one.tokens / getattr(one, clock) for one in turns]
        ratios = [
            rate / (other.tokens / getattr(other, clock))
            for rate, other in zip(rates, others, strict=True)
        ]
        found[clock] = {
            "tokens_per_second": statistics.mean(rates),
            **spread(ratios),
            "mean": statistics.mean(ratios),
            "standard_error": statistics.stdev(ratios) / math.sqrt(len(ratios)),
            "ratios": ratios,
        }
    return found | {"tokens": [one.tokens for one in turns]}


def _make(n: int, blocks: int, place: Path) -> None:
    """A model of random weights, whose answers never end by themselves, and two steerings."""
    _, tokenizer = load()
    model = random_llama(n, blocks, len(tokenizer))
    pairs = behaviour("concepts:sea").pairs(seed=0, count=8)
    for name, method in (("plan", "activation-addition"), ("loop", "one-sided-clamp")):
        made = sm.fit(model, tokenizer, pairs, method=method, progress=False)
        made.save_pretrained(place / name)
    tokenizer.eos_token = None
    model.save_pretrained(place / "model")
    tokenizer.save_pretrained(place / "model")


def _server(name: str, place: Path) -> Any:
    loaded = [f"--steering={one}={place / one}" for one in ("plan", "loop")]
    words = (*PROGRAMS[name], "serve", str(place / "model"))
    return serving(place / f"{name}.log", *(loaded if name == "loaded" else ()), command=words)


def _turn(server: RealServer, config: dict[str, Any], way: Way, requests: int) -> Turn:
    before, began = _processor(server), time.perf_counter()
    tokens = asyncio.run(_asked(server.url, config, way, requests))
    clock = time.perf_counter() - began
    return Turn(tokens, clock, _processor(server) - before)


async def _asked(url: str, config: dict[str, Any], way: Way, requests: int) -> int:
    """All requests of a turn, by clients that ask again as soon as they are answered."""
    left = iter(range(requests))
    async with httpx.AsyncClient(base_url=url, timeout=600) as http:

        async def client() -> int:
            return sum([await _one(http, config, way, number) for number in left])

        return sum(await asyncio.gather(*(client() for _ in range(config["clients"]))))


async def _one(http: httpx.AsyncClient, config: dict[str, Any], way: Way, number: int) -> int:
    steered = number % 2 < 2 * way.share
    asked = {
        "model": f"model+{way.steering}:0.5" if steered else "model",
        "prompt": PROMPTS[number % 4],
        "max_tokens": config["tokens"],
        "temperature": 1.0,
        "seed": number,
    }
    answer = await http.post("/v1/completions", json=asked)
    answer.raise_for_status()
    return int(answer.json()["usage"]["completion_tokens"])


def _processor(server: RealServer) -> float:
    """Seconds that the server's process has computed for."""
    words = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
