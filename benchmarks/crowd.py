"""Many clients at once, everyone asking for something else: is every answer its own?

`steersman serve` runs the embedded model in a process of its own, in double precision. Requests are
drawn at random: prompt, steerings and strengths, sampling, seed, how many answers, streamed or
whole, and whether the client leaves before the end. Afterwards every answer is compared with the
same prompt alone, steered offline by `attach` and sampled by a plain transcription (`twins.py` of
the tests); what came before a client left has to be the beginning of it.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import torch
from parts import Cell, Parts

import steersman as sm
from steersman.windtunnel import behaviour, load

sys.path.append(str(Path(__file__).parents[1] / "tests" / "serving"))

from real_server import RealServer, serving  # noqa: E402
from twins import twin  # noqa: E402

PROMPTS = ("the sailor said", "once upon a time", "in the morning the ship", "the old king", "the")
Strengths = dict[str, dict[str, float]]


class Asked(NamedTuple):
    """One request.

    Attributes:
        prompt: the text.
        steering: of each steering the strength of each feature.
        tokens: of each answer at most.
        temperature: of the sampling.
        top_p: likewise.
        seed: of the first answer.
        count: how many answers.
        stream: whether they come in pieces.
        leaves: after so many events, or seconds where it does not stream, the client leaves.
    """

    prompt: str
    steering: Strengths
    tokens: int
    temperature: float
    top_p: float
    seed: int
    count: int
    stream: bool
    leaves: float | None

    @property
    def body(self) -> dict[str, Any]:
        """As it is sent."""
        strengths = {name: each.get("feature", each) for name, each in self.steering.items()}
        return {
            "model": "windtunnel",
            "prompt": self.prompt,
            "max_tokens": self.tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "n": self.count,
            "stream": self.stream,
            **({"steering": strengths} if strengths else {}),
        }


class Ended(NamedTuple):
    """What became of it.

    Attributes:
        asked: the request.
        status: of the answer; 0 where the client left, -1 where a stream ended in an error.
        texts: each answer, as far as it came.
        seconds: from asking to the end.
    """

    asked: Asked
    status: int
    texts: tuple[str, ...]
    seconds: float


def parts(config: dict[str, Any]) -> Parts:
    """One crowd.

    Args:
        config: clients, requests, tokens of an answer, the share of clients who leave, a seed.
    """
    return {"crowd": lambda: [measured(config)]}


def measured(config: Mapping[str, Any]) -> Cell:
    """What one crowd was answered, and what that did to the server's memory.

    Args:
        config: clients, requests, tokens of an answer, the share of clients who leave, a seed.
    """
    chance = random.Random(config["seed"])
    asked = [drawn(chance, config["tokens"], config["leaving"]) for _ in range(config["requests"])]
    tunnel = load(dtype=torch.float64)
    steerings = fitted(*tunnel)
    with tempfile.TemporaryDirectory() as place:
        folders = {name: one.save_pretrained(Path(place) / name) for name, one in steerings.items()}
        words = [word for name, at in folders.items() for word in ("--steering", f"{name}={at}")]
        with serving(Path(place) / "log", *words, "--queue", 4 * config["clients"]) as server:
            found = _run(server, asked, config["clients"])
    ended = found.pop("ended")
    wrong = [one for one in ended if not is_its_twin(tunnel, steerings, one)]
    return {
        "clients": config["clients"],
        **found,
        "statuses": {str(k): v for k, v in sorted(Counter(o.status for o in ended).items())},
        "answers_compared": sum(one.asked.count for one in ended if one.status == 200),
        "beginnings_compared": sum(any(one.texts) for one in ended if one.status == 0),
        "wrong": len(wrong),
        "first_wrong": wrong[0]._asdict() if wrong else None,
    }


def _run(server: RealServer, asked: Sequence[Asked], clients: int) -> dict[str, Any]:
    """All requests; the memory is first looked at when a quarter of them has been answered."""
    quarter = len(asked) // 4
    ended = asyncio.run(crowd(server.url, asked[:quarter], clients))
    free = server.idle(60)
    before, began = server.memory(), time.perf_counter()
    ended += asyncio.run(crowd(server.url, asked[quarter:], clients))
    seconds = time.perf_counter() - began
    return {
        "ended": ended,
        "idle_afterwards": server.idle(60) and free,
        "seconds": seconds,
        "requests_per_second": (len(asked) - quarter) / seconds,
        "seconds_largest": max(one.seconds for one in ended),
        "memory_before_mib": before,
        "memory_after_mib": server.memory(),
        "memory_peak_mib": server.memory("VmHWM"),
        "alive": server.process.poll() is None,
        "said": "Traceback" in server.log.read_text(),
    }


def drawn(chance: random.Random, tokens: int, leaving: float) -> Asked:
    """A request of any kind.

    Args:
        chance: where the draws come from.
        tokens: the longest answer.
        leaving: the share of clients who leave.
    """

    def strength() -> float:
        return round(chance.uniform(-1.5, 2.0), 2)

    steering: Strengths = {}
    for name in chance.choice(((), ("sea",), ("music",), ("sea", "music"), ("both",), ("held",))):
        features = ("sea", "music") if name == "both" else ("feature",)
        steering[name] = {feature: strength() for feature in features}
    stream = chance.random() < 0.6
    leaves = chance.uniform(0.0, 4.0) if chance.random() < leaving else None
    return Asked(
        chance.choice(PROMPTS),
        steering,
        tokens=chance.randint(1, tokens),
        temperature=chance.choice((0.0, 0.7, 1.0, 1.3)),
        top_p=chance.choice((1.0, 1.0, 0.9, 0.5)),
        seed=chance.randrange(2**31),
        count=chance.choice((1, 1, 1, 2)),
        stream=stream,
        leaves=leaves,
    )


def fitted(model: Any, tokenizer: Any) -> dict[str, sm.Steering]:
    """A plan, two laws with an unsteered run beside them, and a steering of two features."""
    sea, music = (behaviour(f"concepts:{one}").pairs(seed=0, count=24) for one in ("sea", "music"))

    def made(pairs: Any, method: str) -> sm.Steering:
        return sm.fit(
            model, tokenizer, pairs, method=method, jacobian_prompts=sea.desired[:2], progress=False
        )

    return {
        "sea": made(sea, "feature-lqr"),
        "music": made(music, "clamp").at("all"),
        "held": made(music, "one-sided-clamp").at("generated"),
        "both": made({"sea": sea, "music": music}, "feature-lqr"),
    }


async def crowd(url: str, asked: Sequence[Asked], clients: int) -> list[Ended]:
    """All requests, by so many clients at once; whoever is free takes the next.

    Args:
        url: of the server.
        asked: the requests.
        clients: how many at a time.
    """
    left = iter(asked)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits) as http:

        async def client(mine: Iterator[Asked]) -> list[Ended]:
            return [await _one(http, one) for one in mine]

        found = await asyncio.gather(*(client(left) for _ in range(clients)))
    return [one for each in found for one in each]


async def _one(http: httpx.AsyncClient, asked: Asked) -> Ended:
    began = time.perf_counter()
    texts = [""] * asked.count
    try:
        status = await (_streamed if asked.stream else _whole)(http, asked, texts)
    except TimeoutError:
        status = 0
    return Ended(asked, status, tuple(texts), time.perf_counter() - began)


async def _whole(http: httpx.AsyncClient, asked: Asked, texts: list[str]) -> int:
    async with asyncio.timeout(asked.leaves):
        answer = await http.post("/v1/completions", json=asked.body)
    if answer.status_code == 200:
        texts[:] = [choice["text"] for choice in answer.json()["choices"]]
    return answer.status_code


async def _streamed(http: httpx.AsyncClient, asked: Asked, texts: list[str]) -> int:
    events = 0
    async with http.stream("POST", "/v1/completions", json=asked.body) as answer:
        if answer.status_code != 200:
            return answer.status_code
        async for line in answer.aiter_lines():
            if line == "data: [DONE]":
                return 200
            if asked.leaves is not None and events >= asked.leaves:
                return 0
            if line:
                events += 1
                for choice in json.loads(line.removeprefix("data: ")).get("choices", ()):
                    texts[choice["index"]] += choice["text"]
    return -1


def is_its_twin(tunnel: Any, steerings: Mapping[str, sm.Steering], ended: Ended) -> bool:
    """Whether what came is what comes offline; where the client left, the beginning of it."""
    if ended.status == 0:
        whole = (_twin(tunnel, steerings, ended.asked, i) for i in range(ended.asked.count))
        return all(a.startswith(b) for a, b in zip(whole, ended.texts, strict=True) if b)
    return ended.status == 200 and all(
        text == _twin(tunnel, steerings, ended.asked, i) for i, text in enumerate(ended.texts)
    )


def _twin(tunnel: Any, steerings: Mapping[str, sm.Steering], asked: Asked, index: int) -> str:
    model, tokenizer = tunnel
    ids = tokenizer(asked.prompt)["input_ids"]
    target = {
        name if feature == "feature" else f"{name}.{feature}": value
        for name, each in asked.steering.items()
        for feature, value in each.items()
    }
    found = twin(
        model,
        ids,
        asked.tokens,
        steerings={name: steerings[name] for name in sorted(asked.steering)},
        target=target or None,
        temperature=asked.temperature,
        top_p=asked.top_p,
        seed=asked.seed + index,
    )
    whole, known = (
        str(tokenizer.decode(each, skip_special_tokens=True)) for each in ([*ids, *found], ids)
    )
    return whole.removeprefix(known)
