"""Engines of vLLM in processes of their own, and what the transformers engine says of the same."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from surroundings import surroundings
from torch import Tensor

import steersman as sm
from steersman.engines import Run
from steersman.plant import locate
from steersman.request import Request

Job = Callable[..., Any]
Asks = Sequence[tuple[sm.Steering, dict[str, Any]]]
HERE = Path(__file__).parent


def require_vllm() -> None:
    """Skip where it is not installed; this folder, which has its name, does not count."""
    found = find_spec("vllm")
    if found is None or found.origin is None:
        pytest.skip("vLLM is not installed here: make test-vllm")


@pytest.fixture(scope="session")
def with_vllm() -> None:
    """A test that takes it is skipped where vLLM is not installed."""
    require_vllm()


@pytest.fixture(scope="session")
def run_engines(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """`run_engines(model=FOLDER, engines=[{"engine": {...}, "steps": [...]}, ...])`."""
    require_vllm()
    cache = tmp_path_factory.mktemp("cache")

    def run(
        *, separate: bool = False, environment: dict[str, str] | None = None, **job: Any
    ) -> Any:
        out = tmp_path_factory.mktemp("job") / "out.json"
        settings = {
            **surroundings(cache),
            "VLLM_ENABLE_V1_MULTIPROCESSING": str(int(separate)),
            **(environment or {}),
        }
        done = subprocess.run(
            [sys.executable, HERE / "vllm_job.py"],
            input=json.dumps({**job, "out": str(out)}),
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=1800,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        log = done.stdout + done.stderr
        return [one | {"log": log} for one in json.loads(out.read_text())]

    return run


@pytest.fixture(scope="session")
def run_engine(run_engines: Job) -> Job:
    """`run_engine(model=FOLDER, engine={...}, steps=[...])`: what came out of one engine."""

    def run(*, model: str, engine: dict[str, Any], steps: list[Any], **how: Any) -> Any:
        return run_engines(model=model, engines=[{"engine": engine, "steps": steps}], **how)[0]

    return run


def reference(model: Any, asks: Asks, ids: list[int], new: list[int]) -> Tensor:
    """Log-probabilities at every new token, by the transformers engine.

    One pass over the prompt and what was generated behind it: with a key-value cache or without,
    the same tokens are steered.
    """
    whole = torch.tensor([ids + new[:-1]])
    channels = tuple(one.channel(Request.of(**options), model) for one, options in asks)
    with torch.no_grad():
        if channels:
            with Run(model, locate(model), channels, prompt_length=len(ids), trace=False):
                logits = model(whole).logits
        else:
            logits = model(whole).logits
    return logits[0, len(ids) - 1 :].double().log_softmax(dim=-1)


def largest_difference(answer: dict[str, Any], model: Any, asks: Asks, ids: list[int]) -> float:
    """Between the two engines' log-probabilities; the greedy tokens have to be the same."""
    expected = reference(model, asks, ids, answer["tokens"])
    assert expected.argmax(dim=-1).tolist() == answer["tokens"]
    found = torch.tensor(answer["logprobs"], dtype=torch.float64)
    return float((found - expected).abs().max())


@pytest.fixture(scope="session")
def compare() -> Callable[..., float]:
    """`compare(answer, model, [(steering, {"target": 1.0})], ids)`: see `largest_difference`."""
    return largest_difference


@pytest.fixture(scope="session")
def vector_steering() -> Callable[..., sm.Steering]:
    """`vector_steering(model, tokenizer, seed)`: a schedule of random vectors at every block."""

    def make(model: Any, tokenizer: Any, seed: int, length: float = 1.0) -> sm.Steering:
        n, blocks = model.config.hidden_size, model.config.num_hidden_layers
        seeded = torch.Generator().manual_seed(seed)
        given = {t: length * torch.randn(n, generator=seeded) / n**0.5 for t in range(blocks)}
        return sm.import_vectors(given, model, tokenizer)

    return make
