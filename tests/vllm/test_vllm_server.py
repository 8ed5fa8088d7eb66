"""vLLM's own server, with its engine in another process: steering over HTTP."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import Request as Asked
from urllib.request import urlopen

import pytest
import torch
from saved_tunnel import saved_tunnel
from surroundings import surroundings

import steersman as sm
from steersman.windtunnel import behaviour

pytestmark = pytest.mark.vllm

IDS = [1, *torch.randint(6, 570, (11,), generator=torch.Generator().manual_seed(0)).tolist()]
NEW = 8


class Client:
    """Speaks to one server."""

    def __init__(self, port: int) -> None:
        self.root = f"http://127.0.0.1:{port}"

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        asked = Asked(self.root + path, data=data, headers=headers, method=method)
        try:
            with urlopen(asked, timeout=120) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def complete(self, steering: Any, **beside: str) -> tuple[int, Any]:
        """The token ids of a greedy completion, or the error."""
        body = {"model": "m", "prompt": IDS, "max_tokens": NEW, "temperature": 0}
        body |= {"return_token_ids": True, "ignore_eos": True}
        if steering is not None:
            body["vllm_xargs"] = {"steering": json.dumps(steering), **beside}
        status, answer = self.call("POST", "/v1/completions", body)
        return status, answer["choices"][0]["token_ids"] if status == 200 else answer


class World(NamedTuple):
    """The embedded model in a folder, and steerings of it beside it, by their names there."""

    folder: Path
    model: Any
    steerings: dict[str, sm.Steering]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("served")
    model, tokenizer, steering = saved_tunnel(folder)
    pairs = behaviour("concepts:music").pairs(seed=0, count=30)
    paper = sm.fit(model, tokenizer, pairs, method="a-lqr", progress=False)
    steerings = {"music": steering, "paper": paper}
    for name, one in steerings.items():
        one.save_pretrained(folder / name)
    return World(folder, model, steerings)


@pytest.fixture(scope="module")
def client(with_vllm: None, world: World) -> Iterator[Client]:
    folder = world.folder
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    steerings = {name: str(folder / name) for name in world.steerings}
    settings = {"steerings": steerings, "columns": 8}
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(folder / "model"), "--served-model-name", "m", "--port", str(port)]
    command += ["--enforce-eager", "--dtype", "float32", "--max-model-len", "128"]
    command += ["--gpu-memory-utilization", "0.1", "--max-num-seqs", "8", "--host", "127.0.0.1"]
    environment = {
        **os.environ,
        "STEERSMAN_VLLM": json.dumps(settings),
        "VLLM_PLUGINS": "steersman",
        **surroundings(folder / "cache"),
    }
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            found = Client(port)
            _await(found, server, folder / "log")
            yield found
        finally:
            server.terminate()
            server.wait(timeout=60)


def _await(client: Client, server: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(400):
        assert server.poll() is None, log.read_text()[-6000:]
        try:
            # vLLM answers this with an empty body.
            with urlopen(client.root + "/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(1)
    raise AssertionError(log.read_text()[-6000:])


def greedy(model: Any, steering: Any, **attach: Any) -> list[int]:
    ids = torch.tensor([IDS])
    options = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False}
    mask = torch.ones_like(ids)
    if steering is None:
        return model.generate(ids, attention_mask=mask, **options)[0, len(IDS) :].tolist()
    with steering.attach(model, **attach, trace=False):
        return model.generate(ids, attention_mask=mask, **options)[0, len(IDS) :].tolist()


def test_a_request_names_its_steering_over_http(client: Client, world: World) -> None:
    model, steering = world.model, world.steerings["music"]
    model.generation_config.eos_token_id = None
    asked: list[tuple[Any, Callable[[], list[int]]]] = [
        (None, lambda: greedy(model, None)),
        ({"music": 1.0}, lambda: greedy(model, steering, target=1.0)),
        (
            {"music": {"target": -1.0, "tokens": "all"}},
            lambda: greedy(model, steering, target=-1.0, tokens="all"),
        ),
    ]
    seen = []
    for steered, expected in asked:
        assert client.complete(steered) == (200, expected())
        seen.append(expected())
    assert len(set(map(tuple, seen))) == 3


@pytest.mark.parametrize(
    ("steering", "message"),
    [
        ({"nothing": 1.0}, "there is no steering 'nothing'"),
        ({"music": float("nan")}, "must be finite"),
        ({"music": {"tokens": "never"}}, "never"),
    ],
)
def test_a_bad_request_fails_alone(client: Client, steering: Any, message: str) -> None:
    status, answer = client.complete(steering)
    assert status == 400
    assert message in json.dumps(answer)
    assert client.complete({"music": 1.0})[0] == 200


def test_beam_search_is_refused_where_it_would_run_unsteered(client: Client) -> None:
    body: dict[str, Any] = {"model": "m", "prompt": IDS, "max_tokens": 3, "temperature": 0, "n": 2}
    body["use_beam_search"] = True
    assert client.call("POST", "/v1/completions", body)[0] == 200
    body["vllm_xargs"] = {"steering": json.dumps({"music": 1.0})}
    status, answer = client.call("POST", "/v1/completions", body)
    assert status == 400
    assert "beam search cannot be steered" in json.dumps(answer)


def test_steerings_come_and_go_over_http(client: Client, world: World) -> None:
    one = {"name": "more", "path": str(world.folder / "music")}
    names = list(world.steerings)
    assert client.call("POST", "/v1/steerings", one) == (200, {"steerings": [*names, "more"]})
    assert client.complete({"more": 1.0}) == client.complete({"music": 1.0})
    assert client.call("DELETE", "/v1/steerings/more") == (200, {"steerings": names})
    assert client.call("DELETE", "/v1/steerings/more")[0] == 404
    assert client.complete({"more": 1.0})[0] == 400
    assert client.call("GET", "/v1/steerings") == (200, {"steerings": names})
    status, answer = client.call("POST", "/v1/steerings", {"name": "x", "path": "/nowhere"})
    assert status == 400
    assert "cannot be read" in answer["error"]["message"]


@pytest.mark.parametrize(("name", "held"), [("music", False), ("paper", True)])
def test_what_a_steering_did_is_told_over_http(
    client: Client, world: World, name: str, held: bool
) -> None:
    model, steering = world.model, world.steerings[name]
    options: dict[str, Any] = {"target": 0.8, "tokens": "all"}
    if held:
        options |= {"reference": "absolute", "execution": "feedback"}
    asked = {name: options}
    status, tokens = client.complete(asked, steering_report="one")
    assert status == 200
    status, answer = client.call("GET", "/v1/steerings/reports/one")
    (report,) = answer["steering_report"]
    with (
        torch.no_grad(),
        steering.attach(model, **options, trace=True) as run,
    ):
        model(torch.tensor([IDS + tokens[:-1]]))
    trace = run.trace
    assert status == 200 and report["tokens"] == len(IDS) + NEW - 1
    kinds = {"reached": trace.natural(trace.feature), "effort": trace.effort}
    kinds["setpoint"] = trace.natural(trace.setpoint)
    for kind, values in kinds.items():
        # A block at which nothing is known says so.
        means = [None if one != one else one for one in values[0].mean(dim=1).tolist()]
        assert report["blocks"][kind] == pytest.approx(means, abs=2e-4)
    assert any(report["blocks"]["setpoint"]) == held
    assert report["setpoint"] == (pytest.approx(0.8) if held else None)
    features = steering.features
    final = (trace.final[0] - features.origin[-1, 0]) / features.norm[-1, 0]
    assert report["reached"] == pytest.approx(float(final.mean()), abs=2e-4)
    assert client.call("GET", "/v1/steerings/reports/two")[0] == 404
    assert client.complete(asked, steering_report="x" * 200)[0] == 400
    status, error = client.complete({"paper": {"lambda_": 0.3}}, steering_report="paper")
    assert status == 400 and "natural units" in json.dumps(error)
