"""The server over vLLM: the same answers, routes and errors as over transformers."""

import asyncio
import json
import multiprocessing
import random
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import pytest

if any(find_spec(name) is None for name in ("fastapi", "uvicorn", "openai", "httpx")):
    pytest.skip("the server's packages are not installed", allow_module_level=True)

import httpx
import openai
from served_engines import (
    PROMPTS,
    Running,
    World,
    generation,
    make_world,
    read_all,
    serving,
    told,
    twins_of,
)

from steersman.serving.errors import RequestError
from steersman.serving.limits import Limits
from steersman.serving.protocol import Finished

pytestmark = pytest.mark.vllm

ASKED: list[dict[str, dict[str, float]]] = [
    {},
    {"sea": {"feature": 1.0}},
    {"sea": {"feature": -1.0}},
    {"both": {"sea": 1.0, "music": 0.0}},
    {"both": {"music": 1.5}, "sea": {"feature": 0.5}},
]
GOOD = {"model": "tunnel+sea", "prompt": PROMPTS[0], "max_tokens": 4, "temperature": 0}
LONG = {"model": "tunnel+sea", "prompt": "the", "max_tokens": 200, "temperature": 1.5, "n": 4}


@pytest.fixture(scope="module")
def world(with_vllm: None, tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def server(world: World) -> Iterator[Running]:
    limits = Limits(running=8, waiting=16, timeout=60.0, strength=1e39)
    with serving(world, limits) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def complete(server: Running, **changed: Any) -> Any:
    return httpx.post(f"{server.url}/v1/completions", json={**GOOD, **changed}, timeout=120)


def test_every_answer_of_a_batch_is_that_of_the_transformers_engine(
    server: Running, world: World
) -> None:
    asked = [generation(world, prompt, one) for prompt in PROMPTS[:2] for one in ASKED]
    expected = twins_of(world, asked)
    assert read_all(server.engine, asked) == expected
    for prompt in PROMPTS:
        assert server.engine.tokenizer(prompt) == world.tokenizer(prompt)
    assert len({tuple(tokens) for tokens, _ in expected}) == len(expected)


@pytest.mark.parametrize("chat", [False, True])
def test_a_stream_is_the_same_text_in_pieces(client: Any, chat: bool) -> None:
    how: dict[str, Any] = {"model": "tunnel", "max_tokens": 24, "seed": 3, "temperature": 0.8}
    how["extra_body"] = {"steering": {"sea": 1.0, "both.music": 0.5}}
    if chat:
        how["messages"] = [{"role": "user", "content": "tell me a story"}]
        whole = client.chat.completions.create(**how).choices[0].message.content
        chunks = list(client.chat.completions.create(**how, stream=True))
        pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    else:
        how["prompt"] = PROMPTS[1]
        whole = client.completions.create(**how).choices[0].text
        pieces = [chunk.choices[0].text for chunk in client.completions.create(**how, stream=True)]
    assert "".join(pieces) == whole
    assert len([piece for piece in pieces if piece]) > 3


def test_a_seed_gives_the_same_answer_beside_others(server: Running, world: World) -> None:
    how = {"temperature": 1.0, "top_p": 0.9}
    kinds = [ASKED[index % 5] for index in range(8)]
    asked = [generation(world, "the", one, seed=i, **how) for i, one in enumerate(kinds)]
    together = read_all(server.engine, asked)
    assert [read_all(server.engine, [one])[0] for one in asked] == together
    drawn = read_all(server.engine, [generation(world, "the", seed=i, **how) for i in (-1, -1, 7)])
    assert drawn[0] == drawn[1] != drawn[2]


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"model": "gpt-5"}, 404, "model_not_found"),
    ({"model": "tunnel+clam"}, 404, "steering_not_found"),
    ({"model": "tunnel", "steering": {"music": 1.0}}, 404, "steering_not_found"),
    ({"model": "tunnel+sea:nan"}, 400, "invalid_value"),
    ({"model": "tunnel", "steering": {"both": {"sand": 1.0}}}, 404, "feature_not_found"),
    ({"logit_bias": {"5": 1}}, 400, "invalid_value"),
    ({"max_tokens": 10**6}, 400, "context_length_exceeded"),
    ({"prompt": [10**6]}, 400, "invalid_value"),
    ({"steering": {"both.sea": 3e38, "both.music": -3e38}}, 400, "invalid_value"),
]


@pytest.mark.parametrize(("changed", "status", "code"), WRONG)
def test_what_is_wrong_is_told_and_the_server_goes_on(
    server: Running, changed: dict[str, Any], status: int, code: str
) -> None:
    for stream in (False, True):
        found = complete(server, stream=stream, **changed)
        if found.status_code == 200:  # the first tokens were sound
            told = json.loads(found.text.strip().split("\n\n")[-1].removeprefix("data: "))
        else:
            assert found.status_code == status
            told = found.json()
        assert told["error"]["code"] == code
    assert complete(server).status_code == 200


def test_an_absurd_strength_leaves_nothing_behind_in_the_cache(
    server: Running, world: World
) -> None:
    # One after the other, so that the last ones get the blocks that the absurd one filled.
    good = [generation(world, prompt, ASKED[1]) for prompt in PROMPTS]
    before = [read_all(server.engine, [one])[0] for one in good]
    for strength in (1e6, 1e12, -1e12, 1e14):
        absurd = generation(world, PROMPTS[1], {"sea": {"feature": strength}}, max_tokens=40)
        read_all(server.engine, [absurd] * 4)
    server.engine._done(server.engine._llm.reset_prefix_cache())
    assert [read_all(server.engine, [one])[0] for one in good] == before


def test_steerings_are_loaded_and_unloaded_while_answers_are_written(
    server: Running, client: Any
) -> None:
    names = [one["id"] for one in httpx.get(f"{server.url}/v1/steerings").json()["data"]]
    assert names == ["angular", "both", "music", "sea"]
    assert httpx.post(f"{server.url}/v1/steerings", json={"name": "music"}).status_code == 200
    asked: dict[str, Any] = {
        "model": "tunnel+music:2", "prompt": PROMPTS[3], "max_tokens": 60, "temperature": 0,
    }  # fmt: skip
    whole = client.completions.create(**asked).choices[0].text
    stream = client.completions.create(**asked, stream=True)
    parts = [next(stream).choices[0].text]
    assert httpx.delete(f"{server.url}/v1/steerings/music").status_code == 200
    parts += [chunk.choices[0].text for chunk in stream]
    assert "".join(parts) == whole
    assert complete(server, model="tunnel+music:2").status_code == 404
    found = httpx.post(f"{server.url}/v1/steerings", json={"name": "angular"})
    assert found.status_code == 400
    assert "not low rank" in found.json()["error"]["message"]


def test_an_answer_whose_steering_goes_before_its_turn_comes_ends_with_an_error(
    server: Running, world: World
) -> None:
    server.engine.add("music", world.shelf / "music")
    long = generation(world, "the", max_tokens=200, temperature=1.5)
    music = generation(world, "the", {"music": {"feature": 1.0}})

    async def remove_while_it_waits() -> Any:
        # Eight are written and three are next in vLLM: the last one is not there yet.
        before = [server.engine.submit(long) for _ in range(11)]
        last = server.engine.submit(music)
        server.engine.remove("music")
        for one in before:
            one.abandon()
        return [event async for event in last]

    with pytest.raises(RequestError, match="'music' was removed or exchanged"):
        asyncio.run(remove_while_it_waits())
    assert server.idle()


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_whose_client_goes_away_is_given_up(server: Running, stream: bool) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    content = json.dumps({**LONG, "stream": stream}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(content)}\r\n"
    with socket.create_connection((host, int(port))) as gone:
        gone.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + content)
        assert not stream or gone.recv(200)
        while not server.engine.load.running:
            time.sleep(0.01)
    assert server.idle()


def test_a_full_queue_is_told(server: Running, world: World) -> None:
    asked = generation(world, "the", temperature=1.0, max_tokens=20)
    answers = read_all(server.engine, [asked] * 30)
    busy = [one for one in answers if isinstance(one, RequestError)]
    assert busy and {one.status for one in busy} == {429}
    assert server.idle()


def close(found: Any, expected: Any) -> bool:
    """Whether plain data is the same but for what rounding does to its numbers."""
    if isinstance(expected, dict):
        same = found.keys() == expected.keys()
        return same and all(close(found[key], expected[key]) for key in expected)
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(close, found, expected))
    return bool(found == (pytest.approx(expected, abs=3e-4) if is_number(expected) else expected))


def is_number(value: Any) -> bool:
    return isinstance(value, float)


def test_what_is_told_of_an_answer_is_what_the_transformers_engine_tells(
    server: Running, world: World
) -> None:
    whole = {"report": True, "readings": True}
    asked = [
        replace(generation(world, prompt, one), **whole) for prompt in PROMPTS[:2] for one in ASKED
    ]
    expected = twins_of(world, asked, told)
    # Again, when the cache of prefixes knows every prompt.
    for _ in range(2):
        found = read_all(server.engine, asked, told)
        for one, other_one in zip(found, expected, strict=True):
            assert close(one, other_one), (one, other_one)
    features, report = expected[-1]
    assert [one["feature"] for one in report] == ["both.music", "sea"]
    assert all(one["blocks"]["effort"] for one in report) and len(features) == 16


def test_in_a_crowd_every_answer_and_report_is_its_own_however_many_leave(
    server: Running, world: World
) -> None:
    kinds = [generation(world, prompt, one) for prompt in PROMPTS for one in ASKED]
    kinds = [replace(one, report=True, readings=index % 2 == 0) for index, one in enumerate(kinds)]
    twins = twins_of(world, kinds, told)
    chance = random.Random(0)
    drawn = [chance.randrange(len(kinds)) for _ in range(120)]
    leaves = [chance.choice([None, None, "abandon", "cancel"]) for _ in drawn]

    async def one(index: int, leaving: str | None) -> Any:
        asked = replace(kinds[index], client=str(chance.randrange(9)))
        answer = server.engine.submit(asked)
        found: list[Any] = []
        async for event in answer:
            if isinstance(event, Finished):
                return found, event.report
            found.append((event.id, event.features))
            if leaving is not None and len(found) == 5:
                if leaving == "cancel":
                    return found, (await answer.cancel()).report
                return found, answer.abandon()
        raise AssertionError("the stream has no end")

    async def crowd() -> list[Any]:
        # No more at once than may run and wait.
        room = asyncio.Semaphore(20)

        async def within(index: int, leaving: str | None) -> Any:
            async with room:
                return await one(index, leaving)

        return await asyncio.gather(*map(within, drawn, leaves))

    for index, leaving, (tokens, report) in zip(drawn, leaves, asyncio.run(crowd()), strict=True):
        expected, whole = twins[index]
        assert close(tokens, expected[: len(tokens)])
        if leaving is None or len(expected) < 5:
            assert len(tokens) == len(expected) and close(report, whole)
        elif leaving == "cancel" and report:
            assert all(
                one["tokens"] <= all_["tokens"] for one, all_ in zip(report, whole, strict=True)
            )
    assert server.idle()


def test_an_answer_that_is_cut_tells_what_came_before(server: Running, client: Any) -> None:
    asked = {"model": "tunnel", "prompt": PROMPTS[0], "max_tokens": 40, "temperature": 0}
    extra = {"steering": {"both.sea": 1.0}, "steering_report": True, "steering_tokens": True}
    whole = client.completions.create(**asked, extra_body=extra).choices[0]
    stop = whole.steering_tokens[10]["text"]
    cut = client.completions.create(**asked, stop=[stop], extra_body=extra).choices[0]
    count = len(cut.steering_tokens)
    assert cut.finish_reason == "stop" and 1 < count <= 11
    for one, other in zip(cut.steering_tokens, whole.steering_tokens, strict=False):
        # The text of a token waits while a stop may have begun.
        assert one["id"] == other["id"] and close(one["features"], other["features"])
    assert cut.steering_report[0]["tokens"] in (count - 1, count)
    assert whole.steering_report[0]["tokens"] == 39  # no block ever saw the last one


def test_an_answer_that_nobody_asked_to_be_told_of_tells_nothing(server: Running) -> None:
    choice = complete(server).json()["choices"][0]
    assert choice.get("steering_report") is None and choice.get("steering_tokens") is None
    bare = complete(server, model="tunnel", steering_report=True, steering_tokens=True)
    assert bare.json()["choices"][0]["steering_report"] == []


def test_metrics_count_what_happened(server: Running) -> None:
    assert complete(server).status_code == 200
    text = httpx.get(f"{server.url}/metrics").text
    assert 'steersman_steered_answers_total{steering="sea"}' in text
    assert "steersman_running 0.0" in text and "steersman_waiting 0.0" in text


def test_a_server_whose_engine_died_says_so(server: Running) -> None:
    assert httpx.get(f"{server.url}/health").status_code == 200
    with httpx.stream(
        "POST", f"{server.url}/v1/completions", json={**LONG, "stream": True}, timeout=120
    ) as answer:
        lines = (line for line in answer.iter_lines() if line)
        next(lines)
        for process in multiprocessing.active_children():
            process.kill()
        last = json.loads(list(lines)[-1].removeprefix("data: "))
    assert last["error"]["code"] == "engine_lost"
    health = httpx.get(f"{server.url}/health")
    assert health.status_code == 503 and health.json()["error"]["code"] == "engine_lost"
    assert complete(server).status_code == 503
    assert httpx.get(f"{server.url}/v1/models").status_code == 200
