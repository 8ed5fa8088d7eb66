"""Whatever a client sends or does: a clean error in OpenAI's form, and the server goes on.

Every test talks to `steersman serve` in a process of its own, and asks something good afterwards.
"""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from real_server import RealServer, serving

import steersman as sm

KEY = "sk-not-for-other-eyes"
HEAD = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
GOOD = {"model": "windtunnel+sea", "prompt": "the", "max_tokens": 6, "temperature": 0}
MANY = ("sea", "music", "sea2", "sea3", "sea4")


@pytest.fixture(scope="module")
def server(
    steerings: dict[str, sm.Steering], other_steering: sm.Steering, tmp_path_factory: Any
) -> Iterator[RealServer]:
    """Five steerings are loaded; on the shelf lies one of another model."""
    place = tmp_path_factory.mktemp("bad")
    for name in MANY:
        steerings["music" if name == "music" else "sea"].save_pretrained(place / name)
    other_steering.save_pretrained(place / "shelf" / "other")
    (place / "key").write_text(KEY)
    loaded = [word for name in MANY for word in ("--steering", f"{name}={place / name}")]
    options = ["--steerings", place / "shelf", "--key-file", place / "key"]
    with serving(place / "log", *loaded, *options) as started:
        yield started


@pytest.fixture(scope="module")
def http(server: RealServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers=HEAD, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def answer(http: httpx.Client) -> str:
    """What the good request is answered before anything bad has come."""
    return good(http)


@pytest.fixture(autouse=True)
def goes_on(server: RealServer, http: httpx.Client, answer: str) -> Iterator[None]:
    """After every test the good request has the same answer."""
    yield
    assert good(http) == answer
    assert "Traceback" not in server.log.read_text()


def good(http: httpx.Client) -> str:
    found = http.post("/v1/completions", json=GOOD)
    assert found.status_code == 200, found.text
    return str(found.json()["choices"][0]["text"])


def require_clean(found: httpx.Response, status: int, code: str | None, place: Path) -> None:
    """OpenAI's form, and nothing of what is behind the server."""
    assert found.status_code == status, found.text
    assert found.headers["content-type"] == "application/json"
    assert set(found.json()) == {"error"}
    error = found.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error" and error["message"]
    assert code is None or error["code"] == code, error
    for secret in (KEY, str(place), "Traceback", "site-packages", ".py", "/src/", "0x"):
        assert secret not in found.text, secret


def number(text: str) -> bytes:
    """A request with a strength that is written so."""
    return json.dumps({**PLAIN, "steering": {"sea": 0.5}}).replace("0.5", text).encode()


PLAIN = {"model": "windtunnel", "max_tokens": 6}
OUT, NOT, GONE = "strength_out_of_range", "invalid_value", "steering_not_found"
LONG = "context_length_exceeded"
# What is sent besides the model and the prompt, the status, and the code.
BAD: dict[str, tuple[bytes | dict[str, Any], int, str]] = {
    "an unknown steering": ({"steering": {"calm": 1.0}}, 404, GONE),
    "an unknown steering in the model's name": ({"model": "windtunnel+calm"}, 404, GONE),
    "a steering that is a path": ({"steering": {"../shelf/other": 1.0}}, 404, GONE),
    "a steering that is not loaded": ({"steering": {"other": 1.0}}, 404, GONE),
    "an unknown feature": ({"steering": {"sea": {"calm": 1.0}}}, 404, "feature_not_found"),
    "an unknown model": ({"model": "another"}, 404, "model_not_found"),
    "strength NaN": (number("NaN"), 400, NOT),
    "strength Infinity": (number("Infinity"), 400, NOT),
    "strength -Infinity": (number("-Infinity"), 400, NOT),
    "strength 1e999": (number("1e999"), 400, NOT),
    "strength of 5000 digits": (number("9" * 5000), 400, NOT),
    "strength null": (number("null"), 400, NOT),
    "strength as a text": (number('"1"'), 400, NOT),
    "strength true": (number("true"), 400, NOT),
    "strength nan in the model's name": ({"model": "windtunnel+sea:nan"}, 400, NOT),
    "strength -inf in the model's name": ({"model": "windtunnel+sea:-inf"}, 400, NOT),
    "strength above the limit": ({"steering": {"sea": 4.01}}, 400, OUT),
    "strength below the limit": ({"steering": {"sea": -1e300}}, 400, OUT),
    "strength above it in the model's name": ({"model": "windtunnel+sea:1e9"}, 400, OUT),
    "too many steerings": ({"steering": dict.fromkeys(MANY, 0.1)}, 400, "too_many_steerings"),
    "too many in the model's name": (
        {"model": "+".join(("windtunnel", *MANY))},
        400,
        "too_many_steerings",
    ),
    "ten thousand steerings": ({"steering": {f"s{i}": 1.0 for i in range(10000)}}, 404, GONE),
    "an answer over the context": ({"max_tokens": 10**6}, 400, LONG),
    "a field that is not known": ({"steerings": {"sea": 1.0}}, 400, "unknown_parameter"),
    "no JSON": (b"{'model': 'windtunnel'}", 400, NOT),
    "half of a JSON": (b'{"model": "windtunnel", "prom', 400, NOT),
    "no body": (b"", 400, NOT),
    "a list": (b"[]", 400, NOT),
    "a deep list": (b"[" * 100000, 400, NOT),
    "no text": (b"\xff\xfe\x00\x80", 400, NOT),
    "a body over the limit": (b'{"model": "' + b"a" * 2**20 + b'"}', 413, "request_too_large"),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("route", ["completions", "chat/completions"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_bad_request_is_a_clean_error(
    server: RealServer, http: httpx.Client, what: str, route: str, stream: bool
) -> None:
    change, status, code = BAD[what]
    said = {"prompt": "the"} if route == "completions" else {"messages": [message("the")]}
    if isinstance(change, bytes):
        body = change.replace(b'"max_tokens"', json.dumps(said).encode()[1:-1] + b', "max_tokens"')
    else:
        body = json.dumps({**PLAIN, **said, "stream": stream, **change}).encode()
    found = http.post(f"/v1/{route}", content=body)
    require_clean(found, status, code, server.log.parent)


def message(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("completions", {"prompt": "the " * 600}),
        ("completions", {"prompt": ["the", "the " * 600]}),
        ("completions", {"prompt": [5] * 513}),
        ("chat/completions", {"messages": [message("the " * 600)]}),
        ("chat/completions", {"messages": [message("the ")] * 200}),
    ],
)
def test_a_prompt_over_the_context_is_a_clean_error(
    server: RealServer, http: httpx.Client, route: str, said: dict[str, Any], stream: bool
) -> None:
    found = http.post(f"/v1/{route}", json={**PLAIN, **said, "stream": stream})
    require_clean(found, 400, LONG, server.log.parent)


def test_a_steering_of_another_model_cannot_be_loaded(
    server: RealServer, http: httpx.Client
) -> None:
    found = http.post("/v1/steerings", json={"name": "other"})
    require_clean(found, 400, NOT, server.log.parent)
    assert "was made for" in found.json()["error"]["message"]


@pytest.mark.parametrize("key", [None, "x", f"{KEY}x", KEY[:-1], "\xff"])
def test_a_wrong_key_learns_nothing(server: RealServer, key: str | None) -> None:
    head = {} if key is None else {"authorization": f"Bearer {key}".encode("latin-1")}
    found = httpx.post(f"{server.url}/v1/completions", json=GOOD, headers=head)
    assert found.status_code == 401
    assert found.json()["error"]["type"] == "authentication_error"
    assert KEY not in found.text


def test_a_body_that_never_says_how_long_it_is_is_cut_at_the_limit(server: RealServer) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(64):
            yield b"a" * 2**16

    try:
        found = httpx.post(f"{server.url}/v1/completions", content=chunks(), headers=HEAD)
    except httpx.TransportError:
        return  # the server may hang up while the client still sends
    require_clean(found, 413, "request_too_large", server.log.parent)


def test_a_body_that_claims_to_be_huge_is_refused_before_it_is_sent(server: RealServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as claims:
        claims.sendall(
            b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n"
            + f"Authorization: Bearer {KEY}\r\n\r\n".encode()
        )
        claims.settimeout(10)
        assert b" 413 " in claims.recv(200)


@pytest.mark.parametrize(
    "words",
    [b"\x16\x03\x01\x02\x00\x01\x00", b"GET /nothing HTTP/9.9\r\n\r\n", b"\r\n" * 5000, b"\x00"],
)
def test_what_is_no_http_is_hung_up_on(server: RealServer, words: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(words)
        raw.shutdown(socket.SHUT_WR)
        raw.settimeout(10)
        said = raw.recv(1000)
    assert not said or said.startswith(b"HTTP/1.1 4")


def begun(server: RealServer, receive: int | None = None, **more: Any) -> socket.socket:
    """A connection that has asked for a long stream and read nothing."""
    found = socket.socket()
    if receive is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    found.connect(("127.0.0.1", server.port))
    asked = {**GOOD, "max_tokens": 300, "temperature": 1.5, "stream": True, **more}
    body = json.dumps(asked).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\n"
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    found.sendall((head + kind).encode() + body)
    return found


def test_clients_that_leave_in_the_middle_of_a_stream_are_given_up(server: RealServer) -> None:
    gone = [begun(server, n=8) for _ in range(3)]
    for one in gone:
        one.settimeout(30)
        assert one.recv(300)
        one.close()
    assert server.idle(key=KEY)


def test_a_client_that_never_reads_keeps_nobody_waiting(
    server: RealServer, http: httpx.Client
) -> None:
    silent = [begun(server, receive=1024, n=8) for _ in range(2)]
    assert good(http)
    for one in silent:
        one.close()
    assert server.idle(key=KEY)
