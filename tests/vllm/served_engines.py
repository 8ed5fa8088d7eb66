"""The embedded model with saved steerings, both engines of it, and a server over vLLM's."""

import asyncio
import threading
import time
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import steersman as sm
from steersman.serving.limits import Limits
from steersman.serving.protocol import Finished, Generation, Sampling, Token
from steersman.windtunnel import behaviour, load

PROMPTS = ("the sailor said", "once upon a time the old king", "the", "in the morning the ship")
LOADED = ("sea", "both")
VLLM = {"enforce_eager": True, "gpu_memory_utilization": 0.1}
"""What every engine of a test is told besides."""


Reader = Callable[[Any, Generation], Coroutine[Any, Any, Any]]


@dataclass(frozen=True)
class World:
    """The embedded model and a shelf of steerings of it.

    Args:
        model: as transformers has it.
        tokenizer: its tokenizer.
        shelf: a folder with a folder for each steering.
        folder: where the model is saved.
    """

    model: Any
    tokenizer: Any
    shelf: Path
    folder: Path


def make_world(folder: Path) -> World:
    """Plans of one feature and of two, and one of a law that vLLM does not have."""
    model, tokenizer = load()
    for part in (model, tokenizer):
        part.save_pretrained(folder / "model")
    sea, music = (behaviour(f"concepts:{one}").pairs(seed=0, count=24) for one in ("sea", "music"))

    def fitted(pairs: Any, method: str) -> sm.Steering:
        prompts = [example for example in sea.desired[:2]]
        return sm.fit(
            model, tokenizer, pairs, method=method, jacobian_prompts=prompts, progress=False
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        steerings = {
            "sea": fitted(sea, "feature-lqr").at("last"),
            "both": fitted({"sea": sea, "music": music}, "feature-lqr").at("generated"),
            "music": fitted(music, "activation-addition"),
            "angular": fitted(music, "angular"),
        }
    for name, steering in steerings.items():
        steering.save_pretrained(folder / "shelf" / name)
    return World(model, tokenizer, folder / "shelf", folder / "model")


def vllm_engine(world: World, limits: Limits) -> Any:
    """An engine over vLLM, with some steerings."""
    from steersman.vllm.engine import VllmEngine
    from steersman.vllm.opening import arguments_for

    return VllmEngine(arguments_for(str(world.folder), "float32", limits, VLLM), limits)


@dataclass(frozen=True)
class Running:
    """A server that runs.

    Args:
        url: where.
        engine: its engine.
    """

    url: str
    engine: Any

    def idle(self, seconds: float = 60.0) -> bool:
        """Whether neither the server nor vLLM has an answer to write before the time is over."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            load = self.engine.load
            if load.running + load.waiting + self.engine._llm.get_num_unfinished_requests() == 0:
                return True
            time.sleep(0.05)
        return False


def twins_of(world: World, asked: list[Generation], reader: "Reader | None" = None) -> list[Any]:
    """What the transformers engine gives for the same."""
    from steersman.serving.transformers_engine import TransformersEngine

    engine = TransformersEngine(world.model, world.tokenizer)
    try:
        for name in LOADED:
            engine.add(name, world.shelf / name)
        return read_all(engine, asked, reader or read)
    finally:
        engine.close()


@contextmanager
def serving(world: World, limits: Limits) -> Iterator[Running]:
    """A server on loopback whose engine is vLLM's."""
    from steersman.serving.registry import Registry
    from steersman.serving.running import open_socket, server_of
    from steersman.serving.service import Service

    engine = vllm_engine(world, limits)
    try:
        loaded = {name: world.shelf / name for name in LOADED}
        service = Service(engine, Registry(engine, loaded, world.shelf), "tunnel", limits)
        listening = open_socket("127.0.0.1", 0, limits.idle)
        server = server_of(service)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield Running(f"http://127.0.0.1:{listening.getsockname()[1]}", engine)
        server.should_exit = True
        thread.join(timeout=60)
        assert not thread.is_alive()
    finally:
        engine.close()


def generation(world: World, prompt: str, steering: Any = None, **sampling: Any) -> Generation:
    """An answer to ask of an engine, greedy and of 16 tokens where nothing else is said."""
    ids = tuple(world.tokenizer(prompt)["input_ids"])
    how = {"max_tokens": 16, "temperature": 0.0, **sampling}
    return Generation(ids, Sampling(**how), steering or {})


async def told(engine: Any, asked: Generation) -> tuple[list[Any], Any]:
    """What is told of every token of an answer, and its report."""
    features: list[Any] = []
    async for event in engine.submit(asked):
        if isinstance(event, Finished):
            return features, event.report
        features.append((event.id, event.features))
    raise AssertionError("the stream has no end")


async def read(engine: Any, asked: Generation) -> tuple[list[int], str]:
    """All tokens of an answer, and why it ended."""
    tokens: list[int] = []
    async for event in engine.submit(asked):
        if isinstance(event, Finished):
            return tokens, event.reason
        assert isinstance(event, Token)
        tokens.append(event.id)
    raise AssertionError("the stream has no end")


def read_all(engine: Any, asked: list[Generation], reader: Reader = read) -> list[Any]:
    """All answers at once; errors in their places."""

    async def every() -> list[Any]:
        return await asyncio.gather(*(reader(engine, one) for one in asked), return_exceptions=True)

    return asyncio.run(every())
