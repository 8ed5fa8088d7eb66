"""The embedded model inside vLLM and under transformers: the same tokens, the same numbers.

Every engine is one process; what is asked of it is one list of requests, so that they share their
batches with each other and with requests that are not steered.
"""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import steersman as sm
from steersman.windtunnel import behaviour, load

pytestmark = pytest.mark.vllm

NEW = 10
CLOSE = 2e-5


@dataclass(frozen=True)
class World:
    """The embedded model as both engines load it, with steerings in memory and on disk."""

    model: Any
    steerings: dict[str, sm.Steering]
    folder: Path

    @property
    def config(self) -> dict[str, Any]:
        """What vLLM is told."""
        folders = {name: str(self.folder / name) for name in self.steerings}
        return {"additional_config": {"steersman": {"steerings": folders}}}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    model, tokenizer = load()
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    pairs = {
        name: behaviour(f"concepts:{name}").pairs(seed=0, count=40) for name in ("music", "sea")
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        steerings = {
            "music": sm.fit(model, tokenizer, pairs["music"], method="feature-lqr", progress=False),
            "paper": sm.fit(model, tokenizer, pairs["sea"], method="a-lqr", progress=False),
        }
    for name, steering in steerings.items():
        steering.save_pretrained(folder / name)
    return World(model, steerings, folder)


def prompt(seed: int, length: int) -> list[int]:
    seeded = torch.Generator().manual_seed(seed)
    return [1, *torch.randint(6, 570, (length - 1,), generator=seeded).tolist()]


RULES = ["last", "all", "generated", "prompt", "prompt:first:2+last:3", "generated&ids:{ids}"]
ASKS: list[dict[str, dict[str, Any]]] = [
    {},
    {"music": {"target": 1.0}},
    {"music": {"target": -0.5, "tokens": "matching"}},
    *({"music": {"target": 1.0, "tokens": rule}} for rule in RULES),
    {},
    {"paper": {"lambda_": 0.3, "tokens": "all"}},
    {"paper": {"target": 0.2, "reference": "absolute", "tokens": "last"}},
    {"music": {"target": 0.7}, "paper": {"lambda_": 0.2, "tokens": "generated"}},
]
"""What the requests of one batch ask, by the names of steerings."""


def requests(start: int = 0) -> list[dict[str, Any]]:
    found = []
    for index, asks in enumerate(ASKS):
        ids = prompt(start + index, 9 + 5 * index)
        some = ",".join(map(str, range(0, 578, 2)))
        named = {
            name: {k: v.format(ids=some) if k == "tokens" else v for k, v in options.items()}
            for name, options in asks.items()
        }
        found.append({"ids": ids, "steering": named or None})
    return found


def differences(
    answers: list[dict[str, Any]],
    asked: list[dict[str, Any]],
    world: World,
    compare: Callable[..., float],
) -> list[float]:
    found = []
    for answer, one in zip(answers, asked, strict=True):
        named = (one.get("steering") or {}).items()
        asks = [(world.steerings[name], options) for name, options in named]
        found.append(compare(answer, world.model, asks, one["ids"]))
    return found


ENGINES: dict[str, dict[str, Any]] = {
    "plain": {},
    "chunked prefill": {"max_num_batched_tokens": 16, "enable_chunked_prefill": True},
    "prefix cache": {"enable_prefix_caching": True, "block_size": 32},
    "preemption": {"num_gpu_blocks_override": 9, "block_size": 32},
    "compiled": {"enforce_eager": False},
}


@pytest.mark.parametrize("kind", ENGINES)
def test_a_mixed_batch_is_steered_as_by_transformers_and_the_rest_of_it_is_left_alone(
    kind: str,
    world: World,
    run_engine: Callable[..., Any],
    compare: Callable[..., float],
    record_property: Callable[[str, object], None],
) -> None:
    asked = requests()
    bare = [{"ids": one["ids"]} for one in asked]
    engine = {"enable_prefix_caching": False, **ENGINES[kind]}
    batch = [{"generate": asked, "tokens": NEW}, {"generate": bare, "tokens": NEW}]
    # What is in the cache once has to be there before.
    twice = [batch[0], batch[0], {"reset": True}, batch[1], batch[1]]
    cached = kind == "prefix cache"
    model = str(world.folder / "model")
    done = run_engine(
        model=model, engine={**engine, **world.config}, steps=twice if cached else batch
    )
    mixed, alone = (done["steps"][1], done["steps"][4]) if cached else done["steps"]
    assert cached == any(one["cached"] for one in mixed)
    found = differences(mixed, asked, world, compare)
    record_property("difference", max(found))
    record_property("preempted", done["preempted"])
    assert max(found) < CLOSE
    assert (kind == "preemption") == (done["preempted"] > 0)
    answers = [mixed, alone]
    if kind in ("plain", "compiled"):
        # Without the package vLLM is what it was.
        stock = {"VLLM_PLUGINS": "none"}
        done = run_engine(model=model, engine=engine, steps=batch[1:], environment=stock)
        answers.append(done["steps"][0])
    for index, one in enumerate(asked):
        if one["steering"] is None:
            for other in answers[1:]:
                assert other[index]["tokens"] == mixed[index]["tokens"]
                assert other[index]["logprobs"] == mixed[index]["logprobs"]


def graphs(log: str) -> set[str]:
    """The files of compiled graphs that an engine wrote, read, or could not read."""
    return set(re.findall(r"(?:function to|from path|load failure from) (/\S+/model)\b", log))


def test_a_compiled_graph_of_stock_vllm_is_not_taken_for_ours_and_ours_is_known_again(
    world: World, run_engine: Callable[..., Any], compare: Callable[..., float], tmp_path: Path
) -> None:
    asked = requests()[1:3]
    model, here = str(world.folder / "model"), {"VLLM_CACHE_ROOT": str(tmp_path)}
    compiled = {"enforce_eager": False}
    bare = [{"generate": [{"ids": asked[0]["ids"]}], "tokens": 1}]
    stock = run_engine(
        model=model, engine=compiled, steps=bare, environment={**here, "VLLM_PLUGINS": "none"}
    )
    found = []
    for _ in range(2):
        steps = [{"generate": asked, "tokens": NEW}]
        engine = {**compiled, **world.config}
        done = run_engine(model=model, engine=engine, steps=steps, environment=here)
        assert max(differences(done["steps"][0], asked, world, compare)) < CLOSE
        found.append(graphs(done["log"]))
    # On processors vLLM looks for the file, and then compiles again, with the plugin or without.
    assert len(found[0]) == 1 and found[0] == found[1]
    assert graphs(stock["log"]) and graphs(stock["log"]).isdisjoint(found[0])
