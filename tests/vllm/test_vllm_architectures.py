"""Tiny models of several architectures inside vLLM and under transformers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tiny_models as tiny
import torch

import steersman as sm
from steersman.artifact import Parts
from steersman.methods import ALQR, Controller

pytestmark = pytest.mark.vllm

CLOSE = 2e-5
SIZES = {
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
}
"""vLLM's attention on processors wants heads of 32 numbers."""
CHANGES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 32},
    "gemma2": {"head_dim": 32, "query_pre_attn_scalar": 32},
}


def with_feedback(schedule: sm.Steering, seed: int) -> sm.Steering:
    """A steering that observes its feature and pushes along random directions, at every block."""
    blocks, n, _ = schedule.controller.G.shape
    seeded = torch.Generator().manual_seed(seed)
    G = torch.randn(blocks, n, 1, generator=seeded) / n**0.5
    H = schedule.features.vectors[:-1]
    parts: Parts = schedule.to_parts()
    controller = Controller(H, G, 0.1 * G, torch.ones(blocks, 1, 1))
    return sm.Steering.of_parts(parts._replace(controller=controller, method=ALQR()))


@dataclass(frozen=True)
class World:
    """A tiny model as both engines load it, with a steering that observes and one that does not."""

    model: Any
    steerings: dict[str, sm.Steering]
    folder: Path

    def jobs(self, architecture: str) -> list[dict[str, Any]]:
        """What every engine is told and asked."""
        folders = {name: str(self.folder / name) for name in self.steerings}
        given = {"additional_config": {"steersman": {"steerings": folders}}, **COMMON}
        room = {"num_gpu_blocks_override": 1 + 8 * GROUPS.get(architecture, 1)}
        asked = {"generate": [{"ids": ids, "steering": one or None} for ids, one in ASKED]}
        bare = {"generate": [{"ids": ids} for ids, _ in ASKED]}
        asked["tokens"] = bare["tokens"] = NEW
        once, twice = [asked, bare], [asked, asked, {"reset": True}, bare, bare]
        return [
            {
                "engine": given | more | (room if kind == "preempted" else {}),
                "steps": twice if kind == "cached" else once,
            }
            for kind, more in ENGINES.items()
        ]


NEW = 8
ASKS: list[dict[str, Any]] = [
    {},
    {"vectors": {"target": 2.0}},
    {"feedback": {"target": 1.5, "reference": "absolute", "tokens": "all"}},
    {"vectors": {"target": -1.0, "tokens": "last"}, "feedback": {"lambda_": 0.5}},
    {},
]
ASKED = [
    (torch.randint(6, 99, (58 + i,), generator=torch.Generator().manual_seed(i)).tolist(), one)
    for i, one in enumerate(ASKS)
]
"""Prompts that outgrow two blocks of the cache, and what is asked of each."""
COMMON = {"max_model_len": 96, "enable_prefix_caching": False, "block_size": 32}
ENGINES: dict[str, dict[str, Any]] = {
    "cached": {"enable_prefix_caching": True},
    "chunked": {"max_num_batched_tokens": 16},
    "preempted": {},
    "compiled": {"enforce_eager": False},
}
GROUPS = {"gemma2": 3}
"""How many blocks of the cache a block of tokens takes: its three layers are not alike in a row."""


def rows_of(done: list[dict[str, Any]]) -> dict[str, tuple[Any, Any]]:
    """By the rows of the table: the answers of the mixed batch, and of the same one unsteered."""
    cached, *others = done
    mixed, again, _, bare, bare_again = cached["steps"]
    assert all(one["cached"] == 0 for one in mixed)
    assert all(one["cached"] >= 32 for one in again)
    assert others[1]["preempted"] > 0
    names = ["chunked prefill", "preemption", "compiled"]
    rest = {name: tuple(one["steps"]) for name, one in zip(names, others, strict=True)}
    return {"plain": (mixed, bare), "prefix cache": (again, bare_again), **rest}


@pytest.mark.parametrize("architecture", CHANGES)
def test_an_architecture_is_steered_as_by_transformers_however_vllm_runs_it(
    architecture: str,
    tmp_path: Path,
    tiny_tokenizer: Any,
    run_engines: Callable[..., Any],
    compare: Callable[..., float],
    vector_steering: Callable[..., sm.Steering],
    record_property: Callable[[str, object], None],
) -> None:
    model = tiny.tiny_model(architecture, **SIZES, **CHANGES[architecture])
    # Only so does transformers cap the attention's logits, as Gemma 2 is meant to have it.
    model.set_attn_implementation("eager")
    model.save_pretrained(tmp_path / "model")
    tiny_tokenizer.save_pretrained(tmp_path / "model")
    open_loop = vector_steering(model, tiny_tokenizer, 0)
    world = World(model, {"vectors": open_loop, "feedback": with_feedback(open_loop, 1)}, tmp_path)
    for name, one in world.steerings.items():
        one.save_pretrained(tmp_path / name)
    done = run_engines(model=str(tmp_path / "model"), engines=world.jobs(architecture))
    for name, (mixed, bare) in rows_of(done).items():
        found = []
        for answer, other, (ids, asks) in zip(mixed, bare, ASKED, strict=True):
            laws = [(world.steerings[key], options) for key, options in asks.items()]
            found.append(compare(answer, model, laws, ids))
            if not asks:
                assert answer["tokens"] == other["tokens"], name
                assert answer["logprobs"] == other["logprobs"], name
        record_property(name, max(found))
        assert max(found) < CLOSE, name
