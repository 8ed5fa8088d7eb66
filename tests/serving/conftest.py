"""The wind tunnel's model with real steerings, an engine of it, and a server on loopback."""

import threading
import time
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from playground_page import Visit
from running_servers import Running, Start
from transformers import PreTrainedModel, PreTrainedTokenizerFast

import steersman as sm
from steersman.windtunnel import behaviour, load

NEEDED = ("fastapi", "uvicorn", "prometheus_client", "openai")
if any(find_spec(name) is None for name in NEEDED):
    collect_ignore_glob = ["test_*.py"]

SEA, LAND = ("sailor", "sea", "ship", "wave"), ("king", "garden", "house", "time")
ENDS = ("said", "was cold and the", "in the morning")
Tunnel = tuple[PreTrainedModel, PreTrainedTokenizerFast]


@pytest.fixture(scope="session")
def tunnel() -> Tunnel:
    """The embedded model in double precision, so that no rounding decides between two tokens."""
    return load(dtype=torch.float64)


@pytest.fixture(scope="session")
def steerings(tunnel: Tunnel) -> dict[str, sm.Steering]:
    """A plan, two loops with an unsteered run, one for some prompts only, one of two features."""
    model, tokenizer = tunnel
    sea, music = (behaviour(f"concepts:{one}").pairs(seed=0, count=24) for one in ("sea", "music"))
    prompts = [example for example in sea.desired[:2]]

    def fitted(pairs: Any, method: str) -> sm.Steering:
        return sm.fit(
            model, tokenizer, pairs, method=method, jacobian_prompts=prompts, progress=False
        )

    loop = fitted(music, "clamp").at("all")
    condition = sm.fit_condition(
        model,
        tokenizer,
        sm.ContrastivePairs(
            desired=[f"the {one} {two}" for one in SEA for two in ENDS],
            undesired=[f"the {one} {two}" for one in LAND for two in ENDS],
        ),
        held_out=0.25,
        progress=False,
    )
    return {
        "sea": fitted(sea, "feature-lqr").at("last"),
        "music": loop,
        "held": fitted(music, "one-sided-clamp").at("generated"),
        "some": loop.when(condition),
        "both": fitted({"sea": sea, "music": music}, "feature-lqr"),
    }


@pytest.fixture(scope="session")
def other_steering(tiny_model: Any, tiny_tokenizer: Any) -> sm.Steering:
    """A steering of another model."""
    words = [word for word in sorted(tiny_tokenizer.get_vocab()) if word.isalpha()]
    pairs = sm.ContrastivePairs(desired=words[2:8], undesired=words[8:14])
    with warnings.catch_warnings(action="ignore"):  # that nothing separates these words
        return sm.fit(
            tiny_model("llama"), tiny_tokenizer, pairs, method="activation-addition", progress=False
        )


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory, steerings: dict[str, sm.Steering]) -> Path:
    """A folder with every steering in a folder of its name."""
    folder = tmp_path_factory.mktemp("shelf")
    for name, steering in steerings.items():
        steering.save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="module")
def start(tunnel: Tunnel, shelf: Path) -> Iterator[Start]:
    """`start(limits)`: a server on loopback with some steerings loaded, the others on a shelf."""
    from steersman.serving.limits import Limits
    from steersman.serving.registry import Registry
    from steersman.serving.running import open_socket, server_of
    from steersman.serving.service import Service
    from steersman.serving.transformers_engine import TransformersEngine

    running: list[tuple[Any, threading.Thread]] = []

    def begin(
        limits: Limits | None = None,
        key: str | None = None,
        place: Path = shelf,
        engine: Any = None,
        name: str = "tunnel",
    ) -> Running:
        limits = limits or Limits()
        engine = engine or TransformersEngine(*tunnel, limits)
        loaded = {one: shelf / one for one in ("sea", "music", "both")}
        service = Service(engine, Registry(engine, loaded, place), name, limits, key)
        listening = open_socket("127.0.0.1", 0, limits.idle)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = server_of(service)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        running.append((server, thread))
        return Running(url, service)

    yield begin
    for server, thread in running:
        server.should_exit = True
        thread.join(timeout=40)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def server(start: Start) -> Running:
    """A server with the usual limits."""
    return start()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser, where the machine has one."""
    pytest.importorskip("websockets", reason="websockets is not installed")
    from browsers import CHROMIUM, browser

    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine")
    with browser(tmp_path_factory.mktemp("browser")) as socket:
        yield socket


@pytest.fixture
def visit(chromium: Any) -> Iterator[Visit]:
    """`visit(url)`: a new tab that shows the playground, and knows its steerings."""
    from browsers import Page

    pages: list[Page] = []

    def opened(url: str, known: bool = True) -> Page:
        page = Page(chromium)
        pages.append(page)
        page.look(1280, 900)
        page.open(f"{url}/")
        if known:
            page.wait("document.querySelectorAll('.pick').length > 0")
        return page

    yield opened
    for page in pages:
        page.close()
