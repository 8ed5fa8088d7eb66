"""The server as OpenAI's own client and plain sockets see it."""

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from running_servers import KEY, Running, Start
from twins import twin

import steersman as sm
from steersman.serving.limits import Limits

PROMPT = "in the morning the ship"
CHAT = [{"role": "user", "content": "tell me a story"}]


def client_of(server: Running, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)


@pytest.fixture(scope="module")
def client(server: Running) -> openai.OpenAI:
    return client_of(server)


def expected(tunnel: Any, steerings: Any, prompt: str, tokens: int, **how: Any) -> str:
    model, tokenizer = tunnel
    ids = tokenizer(prompt)["input_ids"]
    names = how.pop("names", ())
    found = twin(model, ids, tokens, steerings={n: steerings[n] for n in names}, **how)
    whole = str(tokenizer.decode([*ids, *found], skip_special_tokens=True))
    return whole.removeprefix(str(tokenizer.decode(ids, skip_special_tokens=True)))


def test_a_steered_completion_is_its_offline_twin(client: Any, tunnel: Any, steerings: Any) -> None:
    made = client.completions.create(
        model="tunnel",
        prompt=PROMPT,
        max_tokens=20,
        temperature=0,
        extra_body={"steering": {"sea": 1.5, "music": 0.5}},
    )
    text = expected(
        tunnel, steerings, PROMPT, 20, names=("music", "sea"), target={"sea": 1.5, "music": 0.5}
    )
    assert made.choices[0].text == text
    assert made.usage.prompt_tokens == len(tunnel[1](PROMPT)["input_ids"])
    assert made.model == "tunnel"


def test_the_models_name_steers_as_the_field_does(client: Any, tunnel: Any, steerings: Any) -> None:
    named = client.completions.create(
        model="tunnel+sea:1.5+music:0.5", prompt=PROMPT, max_tokens=16, seed=4, temperature=0.9
    )
    text = expected(
        tunnel,
        steerings,
        PROMPT,
        16,
        names=("music", "sea"),
        target={"sea": 1.5, "music": 0.5},
        temperature=0.9,
        seed=4,
    )
    assert named.choices[0].text == text


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_is_answered(client: Any, tunnel: Any, steerings: Any, stream: bool) -> None:
    made = client.chat.completions.create(
        model="tunnel+sea",
        messages=CHAT,
        max_tokens=24,
        temperature=0,
        stream=stream,
        extra_body={"steering": {"both": {"music": 1.0}}, "steering_report": True},
        **({"stream_options": {"include_usage": True}} if stream else {}),
    )
    made = list(made) if stream else made  # the twin runs the same model, once it is free
    rendered = tunnel[1].apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
    ids = tunnel[1](rendered, add_special_tokens=False)["input_ids"]
    found = twin(
        tunnel[0],
        ids,
        24,
        steerings={name: steerings[name] for name in ("both", "sea")},
        target={"sea": 1.0, "both.music": 1.0, "both.sea": 0.0},
    )
    text = tunnel[1].decode(found, skip_special_tokens=True).strip()
    if not stream:
        choice, usage = made.choices[0], made.usage
        assert choice.message.role == "assistant"
        content, reason, report = choice.message.content, choice.finish_reason, choice.model_extra
    else:
        chunks = made
        usage = chunks[-1].usage
        choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
        assert choices[0].delta.role == "assistant"
        content = "".join(one.delta.content or "" for one in choices)
        reason, report = choices[-1].finish_reason, choices[-1].model_extra
    assert content.strip() == text
    assert usage.completion_tokens == len(found)
    assert reason == ("length" if len(found) == 24 else "stop")
    features = [entry["feature"] for entry in report["steering_report"]]
    assert features == ["both.music", "sea"]


def test_a_stream_is_the_same_text_in_pieces(client: Any) -> None:
    asked: dict[str, Any] = {
        "model": "tunnel",
        "prompt": PROMPT,
        "max_tokens": 30,
        "seed": 9,
        "extra_body": {"steering": {"sea": 1.0}},
    }
    whole = client.completions.create(**asked).choices[0].text
    parts = [chunk.choices[0].text for chunk in client.completions.create(**asked, stream=True)]
    assert "".join(parts) == whole
    assert len(parts) > 3


def test_several_prompts_and_answers_each_have_a_seed_of_their_own(client: Any) -> None:
    several = client.completions.create(
        model="tunnel+sea", prompt=[PROMPT, "the"], n=2, max_tokens=10, seed=20
    )
    assert [one.index for one in several.choices] == [0, 1, 2, 3]
    for index, (prompt, seed) in enumerate([(PROMPT, 20), (PROMPT, 21), ("the", 22), ("the", 23)]):
        one = client.completions.create(model="tunnel+sea", prompt=prompt, max_tokens=10, seed=seed)
        assert one.choices[0].text == several.choices[index].text


def test_token_ids_are_a_prompt_too(client: Any, tunnel: Any) -> None:
    ids = tunnel[1](PROMPT)["input_ids"]
    texts = {
        client.completions.create(model="tunnel", prompt=one, max_tokens=8, temperature=0)
        .choices[0]
        .text
        for one in (PROMPT, ids, [ids])
    }
    assert len(texts) == 1


def test_a_stop_string_ends_the_answer_and_is_no_part_of_it(client: Any) -> None:
    asked: dict[str, Any] = {
        "model": "tunnel",
        "prompt": PROMPT,
        "max_tokens": 40,
        "temperature": 0,
    }
    text = client.completions.create(**asked).choices[0].text
    word = text.split()[4]
    for stream in (False, True):
        made = client.completions.create(**asked, stop=[f" {word}", "no such text"], stream=stream)
        parts = [chunk.choices[0] for chunk in made] if stream else made.choices
        assert "".join(one.text for one in parts) == text[: text.index(f" {word}")]
        assert parts[-1].finish_reason == "stop"


def test_the_report_tells_setpoint_and_what_was_reached(client: Any) -> None:
    made = client.completions.create(
        model="tunnel",
        prompt=PROMPT,
        max_tokens=12,
        temperature=0,
        extra_body={"steering": {"sea": 1.0}, "steering_report": True},
    )
    (entry,) = made.choices[0].model_extra["steering_report"]
    assert entry["strength"] == 1.0 and entry["tokens"] > 0
    assert isinstance(entry["reached"], float) and entry["effort"] > 0


@pytest.mark.parametrize("stream", [False, True])
def test_the_tokens_of_an_answer_are_told_with_their_text(client: Any, stream: bool) -> None:
    made = client.completions.create(
        model="tunnel+sea",
        prompt=PROMPT,
        max_tokens=12,
        temperature=0,
        stream=stream,
        extra_body={"steering": {"both": {"music": 0.5}}, "steering_tokens": True},
    )
    parts = [chunk.choices[0] for chunk in made] if stream else made.choices
    found = [one for part in parts for one in part.model_extra.get("steering_tokens") or ()]
    assert len(found) == 12
    assert "".join(one["text"] for one in found) == "".join(part.text for part in parts)
    for one in found:
        assert [entry["feature"] for entry in one["features"]] == ["both.music", "sea"]
        assert all(isinstance(entry["reached"], float) for entry in one["features"])


def test_a_stop_string_is_no_part_of_the_tokens_text_either(client: Any) -> None:
    asked: dict[str, Any] = {"model": "tunnel", "prompt": PROMPT, "max_tokens": 40}
    asked |= {"temperature": 0, "extra_body": {"steering_tokens": True}}
    text = client.completions.create(**asked).choices[0].text
    word = text.split()[4]
    choice = client.completions.create(**asked, stop=f" {word}").choices[0]
    told = choice.model_extra["steering_tokens"]
    assert "".join(one["text"] for one in told) == choice.text == text[: text.index(f" {word}")]
    assert all(one["features"] == [] for one in told)


def test_without_asking_there_is_no_report(client: Any) -> None:
    made = client.completions.create(model="tunnel+sea", prompt=PROMPT, max_tokens=2)
    assert made.choices[0].model_extra.get("steering_report") is None
    assert made.choices[0].model_extra.get("steering_tokens") is None


def test_models_and_steerings_are_listed(client: Any, server: Running) -> None:
    assert {one.id for one in client.models.list()} == {"tunnel", "tunnel+sea", "tunnel+music"}
    found = httpx.get(f"{server.url}/v1/steerings").json()["data"]
    assert {one["id"]: one["loaded"] for one in found} == {
        "both": True, "held": False, "music": True, "sea": True, "some": False,
    }  # fmt: skip


# What a client may get wrong, as the fields that differ from a good request and what is answered.
WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"model": "gpt-5"}, 404, "model_not_found"),
    ({"model": "tunnel+clam"}, 404, "steering_not_found"),
    ({"model": "tunnel+sea:much"}, 400, "invalid_value"),
    ({"model": "tunnel+sea:nan"}, 400, "invalid_value"),
    ({"model": "tunnel+sea:1e9"}, 400, "strength_out_of_range"),
    ({"steering": {"clam": 1.0}}, 404, "steering_not_found"),
    ({"steering": {"held": 1.0}}, 404, "steering_not_found"),
    ({"steering": {"../../etc/passwd": 1.0}}, 404, "steering_not_found"),
    ({"steering": {"sea\ud800": 1.0}}, 404, "steering_not_found"),
    ({"steering": {"sea": "1.0"}}, 400, "invalid_value"),
    ({"steering": {"sea": True}}, 400, "invalid_value"),
    ({"steering": {"sea": -4.5}}, 400, "strength_out_of_range"),
    ({"steering": {"both": 1.0}}, 400, "invalid_value"),
    ({"steering": {"both": {"sand": 1.0}}}, 404, "feature_not_found"),
    ({"model": "tunnel+sea", "steering": {"sea": 1.0}}, 400, "invalid_value"),
    ({"steering": ["sea"]}, 400, "invalid_value"),
    ({"steerings": {"sea": 1.0}}, 400, "unknown_parameter"),
    ({"logit_bias": {"5": 1}}, 400, "invalid_value"),
    ({"presence_penalty": 0.5}, 400, "invalid_value"),
    ({"temperature": -1}, 400, "invalid_value"),
    ({"temperature": 3}, 400, "invalid_value"),
    ({"top_p": 0}, 400, "invalid_value"),
    ({"top_p": 1.5}, 400, "invalid_value"),
    ({"max_tokens": 0}, 400, "invalid_value"),
    ({"max_tokens": 10**6}, 400, "context_length_exceeded"),
    ({"max_tokens": 1.5}, 400, "invalid_value"),
    ({"seed": 2**64}, 400, "invalid_value"),
    ({"n": 1000}, 400, "invalid_value"),
    ({"stop": [""]}, 400, "invalid_value"),
    ({"stop": ["a"] * 9}, 400, "invalid_value"),
    ({"prompt": "the " * 5000}, 400, "context_length_exceeded"),
    ({"prompt": [10**6]}, 400, "invalid_value"),
    ({"prompt": [-1]}, 400, "invalid_value"),
    ({"prompt": []}, 400, "invalid_value"),
    ({"prompt": [[]]}, 400, "invalid_value"),
    ({"prompt": ["a", 5]}, 400, "invalid_value"),
    ({"prompt": None}, 400, "invalid_value"),
    ({"prompt": "lone \ud800 surrogate"}, 400, "invalid_value"),
    ({"model": "tunnel\udfff"}, 404, "model_not_found"),
    ({"stream": "yes please"}, 400, "invalid_value"),
]


@pytest.mark.parametrize(("change", "status", "code"), WRONG, ids=[str(c)[:48] for c, *_ in WRONG])
@pytest.mark.parametrize("stream", [False, True])
def test_a_wrong_request_is_told_what_is_wrong(
    server: Running, change: dict[str, Any], status: int, code: str, stream: bool
) -> None:
    good = {"model": "tunnel", "prompt": PROMPT, "max_tokens": 2, "stream": stream}
    body = json.dumps({**good, **change})
    found = httpx.post(f"{server.url}/v1/completions", content=body, headers=JSON)
    error = found.json()["error"]
    assert (found.status_code, error["code"]) == (status, code), error
    assert error["message"] and set(error) == {"message", "type", "param", "code"}


JSON = {"content-type": "application/json"}
MALFORMED = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"model": "tunnel", "prompt": "a", "steering": {"sea": NaN}}',
    b'{"model": "tunnel", "prompt": "a", "steering": {"sea": Infinity}}',
    b'{"model": "tunnel", "prompt": "a", "steering": {"sea": 1e999}}',
    b'{"model": "tunnel", "prompt": "a", "max_tokens": ' + b"9" * 5000 + b"}",
    b'{"model": "tunnel", "prompt": ' + b"[" * 20000 + b"]" * 20000 + b"}",
    b"\xff\xfe\x00",
    b'{"model": "tunnel", "prompt": "\xff"}',
]


@pytest.mark.parametrize("body", MALFORMED, ids=[str(one)[:40] for one in MALFORMED])
@pytest.mark.parametrize("route", ["completions", "chat/completions", "steerings"])
def test_a_body_that_is_no_request_is_refused(server: Running, body: bytes, route: str) -> None:
    found = httpx.post(f"{server.url}/v1/{route}", content=body, headers=JSON)
    assert found.status_code == 400, found.text
    assert found.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "user"}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
        [{"role": "user", "content": "a", "tool_calls": [{}]}],
        "tell me",
    ],
)
def test_a_conversation_that_cannot_be_read_is_refused(server: Running, messages: Any) -> None:
    body = {"model": "tunnel", "messages": messages, "max_tokens": 2}
    assert httpx.post(f"{server.url}/v1/chat/completions", json=body).status_code == 400


def test_parts_of_text_are_a_message(client: Any) -> None:
    parts = [{"type": "text", "text": "tell me "}, {"type": "text", "text": "a story"}]
    texts = {
        client.chat.completions.create(
            model="tunnel",
            messages=[{"role": "user", "content": content}],
            max_tokens=8,
            temperature=0,
        )
        .choices[0]
        .message.content
        for content in (parts, "tell me a story")
    }
    assert len(texts) == 1


def test_pages_and_methods_that_there_are_not_are_errors_in_the_same_form(server: Running) -> None:
    assert httpx.get(f"{server.url}/v1/nothing").status_code == 404
    found = httpx.get(f"{server.url}/v1/completions")
    assert found.status_code == 405 and found.json()["error"]["code"] == "method_not_allowed"


def test_a_large_body_is_refused_before_it_is_read(start: Start) -> None:
    small = start(Limits(body=1000))
    body = json.dumps({"model": "tunnel", "prompt": "a" * 2000}).encode()
    found = httpx.post(f"{small.url}/v1/completions", content=body, headers=JSON)
    assert found.status_code == 413
    parts = (body[i : i + 100] for i in range(0, len(body), 100))
    try:
        chunked = httpx.post(f"{small.url}/v1/completions", content=parts, headers=JSON)
    except httpx.TransportError:
        return  # the server may hang up while the client still sends
    assert chunked.status_code == 413


def test_the_key_is_asked_for_everywhere_but_at_the_health_page(start: Start) -> None:
    locked = start(key=KEY)
    assert httpx.get(f"{locked.url}/health").json() == {"status": "ok"}
    for path in ("/v1/models", "/v1/steerings", "/metrics", "/openapi.json"):
        assert httpx.get(locked.url + path).status_code == 401
        wrong = {"Authorization": f"Bearer {KEY}x"}
        assert httpx.get(locked.url + path, headers=wrong).status_code == 401
    with pytest.raises(openai.AuthenticationError):
        client_of(locked, "wrong").models.list()
    assert client_of(locked, KEY).models.list().data
    assert client_of(locked, KEY).completions.create(model="tunnel", prompt="a", max_tokens=1)


def test_steerings_are_loaded_and_unloaded_by_name(start: Start) -> None:
    own = start()
    url = f"{own.url}/v1/steerings"
    good = {"model": "tunnel+held", "prompt": PROMPT, "max_tokens": 3}
    assert httpx.post(f"{own.url}/v1/completions", json=good).status_code == 404
    loaded = httpx.post(url, json={"name": "held"})
    assert loaded.status_code == 200 and loaded.json()["loaded"]
    assert httpx.post(f"{own.url}/v1/completions", json=good).status_code == 200
    assert httpx.delete(f"{url}/held").json()["loaded"] is False
    assert httpx.delete(f"{url}/held").status_code == 404
    assert httpx.post(f"{own.url}/v1/completions", json=good).status_code == 404


def test_no_request_leads_to_a_file_of_its_own_choice(
    start: Start, shelf: Path, steerings: Any, tmp_path: Path
) -> None:
    place = tmp_path / "shelf"
    outside = steerings["sea"].save_pretrained(tmp_path / "outside")
    steerings["sea"].save_pretrained(place / "good")
    (place / "link").symlink_to(outside, target_is_directory=True)
    (place / "empty").mkdir()
    own = start(place=place)
    names = ["../outside", str(outside), "link", "empty", "..", ".", "", "good/../good", "good\x00"]
    for name in names:
        found = httpx.post(f"{own.url}/v1/steerings", json={"name": name})
        assert found.status_code == 404, name
        assert "outside" not in found.json()["error"]["message"] or "outside" in name
    assert httpx.post(f"{own.url}/v1/steerings", json={"name": "good"}).status_code == 200
    assert httpx.delete(f"{own.url}/v1/steerings/..%2Foutside").status_code == 404


def test_what_is_no_sound_steering_of_this_model_is_refused(
    start: Start, shelf: Path, steerings: Any, tmp_path: Path, other_steering: sm.Steering
) -> None:
    place = tmp_path / "shelf"
    for name in ("pickled", "cut", "newer"):
        steerings["sea"].save_pretrained(place / name)
    tensors = place / "pickled" / "steering.safetensors"
    tensors.rename(tensors.with_suffix(".pkl"))
    cut = place / "cut" / "steering.safetensors"
    cut.write_bytes(cut.read_bytes()[:-10])
    other_steering.save_pretrained(place / "other")
    (place / "newer" / "steering.json").write_text('{"format_version": 999}')
    own = start(place=place)
    for name in ("pickled", "cut", "newer", "other"):
        found = httpx.post(f"{own.url}/v1/steerings", json={"name": name})
        assert found.status_code == 400, (name, found.text)
        assert str(tmp_path) not in found.text
    made = httpx.post(
        f"{own.url}/v1/completions", json={"model": "tunnel+sea", "prompt": "a", "max_tokens": 1}
    )
    assert made.status_code == 200


def raw(server: Running, body: dict[str, Any], receive: int | None = None) -> socket.socket:
    """A connection that has sent a request and read nothing."""
    host, port = server.url.removeprefix("http://").split(":")
    found = socket.socket()
    if receive is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    found.connect((host, int(port)))
    content = json.dumps(body).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(content)}\r\n"
    found.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + content)
    return found


LONG = {"model": "tunnel+sea", "prompt": "the", "max_tokens": 200, "temperature": 1.5}


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_whose_client_goes_away_is_given_up(start: Start, stream: bool) -> None:
    own = start(Limits(running=2))
    gone = [raw(own, {**LONG, "stream": stream, "n": 8}) for _ in range(2)]
    if stream:
        assert gone[0].recv(200)
    else:
        time.sleep(0.1)
    for one in gone:
        one.close()
    assert own.idle(10)
    assert "steersman_abandoned_requests_total 2.0" in httpx.get(f"{own.url}/metrics").text


def test_a_client_that_never_reads_does_not_hold_up_the_others(start: Start) -> None:
    own = start(Limits(running=8, idle=0.5, timeout=60.0))
    silent = [raw(own, {**LONG, "stream": True, "n": 4}, receive=1024) for _ in range(3)]
    made = client_of(own).completions.create(model="tunnel", prompt=PROMPT, max_tokens=4)
    assert made.choices[0].text
    assert own.idle(60)
    for one in silent:
        one.close()


def test_a_client_that_does_not_send_its_request_is_told(start: Start) -> None:
    own = start(Limits(idle=0.3))
    host, port = own.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{")
        slow.settimeout(10)
        assert b" 408 " in slow.recv(200)


def test_an_answer_that_takes_too_long_is_cut_with_an_error(start: Start) -> None:
    own = start(Limits(timeout=0.05, running=1))
    body = {**LONG, "n": 16}
    found = httpx.post(f"{own.url}/v1/completions", json=body)
    assert found.status_code == 504 and found.json()["error"]["code"] == "timeout"
    streamed = httpx.post(f"{own.url}/v1/completions", json={**body, "stream": True})
    if streamed.status_code == 200:
        last = streamed.text.strip().split("\n\n")[-1]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "timeout"
    else:
        assert streamed.status_code == 504
    assert own.idle(10)


def test_a_full_queue_says_so_and_when_to_come_again(start: Start) -> None:
    own = start(Limits(running=1, waiting=2))
    found = httpx.post(f"{own.url}/v1/completions", json={**LONG, "n": 12})
    assert found.status_code == 429 and found.headers["retry-after"]
    assert own.idle(10)
    good = {"model": "tunnel", "prompt": "the", "max_tokens": 2}
    assert httpx.post(f"{own.url}/v1/completions", json=good).status_code == 200


def test_metrics_count_what_happened(start: Start) -> None:
    own = start()
    client_of(own).completions.create(
        model="tunnel+sea", prompt=PROMPT, max_tokens=5, temperature=0
    )
    httpx.post(f"{own.url}/v1/completions", json={"model": "x", "prompt": "a"})
    httpx.get(f"{own.url}/some/page")
    text = httpx.get(f"{own.url}/metrics").text
    for line in (
        'steersman_requests_total{route="/v1/completions",status="200"} 1.0',
        'steersman_requests_total{route="/v1/completions",status="404"} 1.0',
        'steersman_requests_total{route="other",status="404"} 1.0',
        'steersman_steered_answers_total{steering="sea"} 1.0',
        "steersman_tokens_total 5.0",
        "steersman_running 0.0",
        "steersman_waiting 0.0",
    ):
        assert line in text, line


def test_clients_at_once_with_different_steerings_each_get_their_own_answer(
    server: Running, tunnel: Any, steerings: Any
) -> None:
    kinds: list[dict[str, float]] = [{}, {"sea": 1.0}, {"music": -1.0}, {"sea": 0.5, "music": 1.0}]

    async def every() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:

            async def one(index: int) -> str:
                made = await client.completions.create(
                    model="tunnel",
                    prompt=PROMPT,
                    max_tokens=6 + index,
                    seed=index,
                    extra_body={"steering": kinds[index % 4]},
                )
                return made.choices[0].text

            return list(await asyncio.gather(*(one(index) for index in range(12))))

    for index, text in enumerate(asyncio.run(every())):
        asked = kinds[index % 4]
        assert text == expected(
            tunnel,
            steerings,
            PROMPT,
            6 + index,
            names=tuple(sorted(asked)),
            target=asked or None,
            temperature=1.0,
            seed=index,
        )
