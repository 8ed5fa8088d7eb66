"""What a server bears: many clients at once, each steered in its own way, some of whom leave.

The embedded model is served on loopback. Every kind of request is asked many times; whatever else
is in the batch, its answer must always be the same.
"""

import asyncio
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from parts import Cell, Parts

import steersman as sm
from steersman.serving.limits import Limits
from steersman.serving.registry import Registry
from steersman.serving.running import open_socket, server_of
from steersman.serving.service import Service
from steersman.serving.transformers_engine import TransformersEngine
from steersman.windtunnel import behaviour, load

NAMES = ("sea", "music")
PROMPTS = ("the sailor said", "once upon a time", "in the morning the ship", "the old king")
STRENGTHS: tuple[dict[str, float], ...] = (
    {},
    {"sea": 1.0},
    {"music": -0.5},
    {"sea": 0.5, "music": 1.0},
)


class Ended(NamedTuple):
    """One request.

    Attributes:
        kind: which of the kinds of request.
        status: of the answer; 0 where the client left.
        text: the answer.
        tokens: how many it has.
        seconds: from asking to the end.
    """

    kind: int
    status: int
    text: str
    tokens: int
    seconds: float


def parts(config: dict[str, Any]) -> Parts:
    """Throughput at so many clients, and then all of them with cancellations.

    Args:
        config: clients, requests of each, tokens of an answer, the share of clients who leave, and
            how many answers the engine writes at a time.
    """
    return {
        **{
            f"{clients} clients, {'steered' if steered else 'bare'}": (
                lambda clients=clients, steered=steered: _measured(config, clients, steered, 0.0)
            )
            for clients in config["clients"]
            for steered in (False, True)
        },
        "leaving": lambda: _measured(config, config["crowd"], True, config["leaving"]),
    }


def _measured(config: dict[str, Any], clients: int, steered: bool, leaving: float) -> list[Cell]:
    with serving(Limits(running=config["running"], waiting=4 * clients + 64)) as url:
        asyncio.run(crowd(url, 1, 1, config["tokens"], steered, 0.0))  # to warm up
        began = time.perf_counter()
        ended = asyncio.run(
            crowd(url, clients, config["requests"], config["tokens"], steered, leaving)
        )
        seconds = time.perf_counter() - began
        alive = httpx.get(f"{url}/health").status_code == 200
    answered = sorted(one.seconds for one in ended if one.status == 200)
    texts = {
        one.kind: {o.text for o in ended if o.kind == one.kind and o.status == 200} for one in ended
    }
    tokens = sum(one.tokens for one in ended)
    return [
        {
            "clients": clients,
            "steered": steered,
            "leaving": leaving,
            "statuses": {str(k): v for k, v in sorted(Counter(o.status for o in ended).items())},
            "tokens_per_second": tokens / seconds,
            "seconds_median": answered[len(answered) // 2] if answered else None,
            "seconds_largest": answered[-1] if answered else None,
            "kinds": len(texts),
            "kinds_with_several_answers": sum(len(each) > 1 for each in texts.values()),
            "alive_afterwards": alive,
        }
    ]


async def crowd(
    url: str, clients: int, requests: int, tokens: int, steered: bool, leaving: float
) -> list[Ended]:
    """Clients at once, each with some requests one after the other.

    Args:
        url: of the server.
        clients: how many.
        requests: of each.
        tokens: the longest answer.
        steered: whether requests ask for steerings.
        leaving: the share of requests whose client leaves before the end.
    """
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits) as http:

        async def client(number: int) -> list[Ended]:
            chance = random.Random(number)
            return [
                await _one(http, chance.randrange(64), tokens, steered, chance.random() < leaving)
                for _ in range(requests)
            ]

        found = await asyncio.gather(*(client(number) for number in range(clients)))
    return [one for each in found for one in each]


async def _one(
    http: httpx.AsyncClient, kind: int, tokens: int, steered: bool, leaves: bool
) -> Ended:
    strengths = STRENGTHS[kind // 4 % 4] if steered else {}
    asked = {
        "model": "tunnel",
        "prompt": PROMPTS[kind % 4],
        "max_tokens": 1 + (kind * 7) % tokens,
        "temperature": 1.0 if kind % 3 else 0.0,
        "seed": kind,
        "steering": strengths,
    }
    began = time.perf_counter()
    if leaves:
        return await _leave(http, kind, {**asked, "stream": True, "max_tokens": tokens})
    answer = await http.post("/v1/completions", json=asked)
    body = answer.json()
    text = body["choices"][0]["text"] if answer.status_code == 200 else body["error"]["message"]
    count = body["usage"]["completion_tokens"] if answer.status_code == 200 else 0
    return Ended(kind, answer.status_code, text, count, time.perf_counter() - began)


async def _leave(http: httpx.AsyncClient, kind: int, asked: dict[str, Any]) -> Ended:
    lines = 0
    async with http.stream("POST", "/v1/completions", json=asked) as answer:
        async for _ in answer.aiter_lines():
            lines += 1
            if lines > kind % 5:
                break
    return Ended(kind, 0, "", 0, 0.0)


@contextmanager
def serving(limits: Limits) -> Iterator[str]:
    """The embedded model on loopback with two steerings, for as long as the block lasts.

    Args:
        limits: of the server.
    """
    model, tokenizer = load()
    with tempfile.TemporaryDirectory() as place:
        folders = {name: Path(place) / name for name in NAMES}
        for name, folder in folders.items():
            pairs = behaviour(f"concepts:{name}").pairs(seed=0, count=24)
            method = "activation-addition" if name == "sea" else "one-sided-clamp"
            made = sm.fit(model, tokenizer, pairs, method=method, progress=False)
            made.save_pretrained(folder)
        engine = TransformersEngine(model, tokenizer, limits)
        service = Service(engine, Registry(engine, folders), "tunnel", limits)
        listening = open_socket("127.0.0.1", 0, limits.idle)
        server = server_of(service)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
