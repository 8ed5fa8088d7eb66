"""Tiny models of several architectures inside vLLM and under transformers."""

from collections.abc import Callable
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
NEW = 8
SIZES = {"hidden_size": 128, "intermediate_size": 192, "num_attention_heads": 4}
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


@pytest.mark.parametrize("architecture", CHANGES)
def test_an_architecture_is_steered_as_by_transformers(
    architecture: str,
    tmp_path: Path,
    tiny_tokenizer: Any,
    run_engine: Callable[..., Any],
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
    steerings = {"vectors": open_loop, "feedback": with_feedback(open_loop, 1)}
    for name, one in steerings.items():
        one.save_pretrained(tmp_path / name)
    asks: list[dict[str, Any]] = [
        {},
        {"vectors": {"target": 2.0}},
        {"feedback": {"target": 1.5, "reference": "absolute", "tokens": "all"}},
        {"vectors": {"target": -1.0, "tokens": "last"}, "feedback": {"lambda_": 0.5}},
    ]
    seeded = torch.Generator().manual_seed(0)
    asked = [
        {"ids": torch.randint(6, 99, (7 + 4 * i,), generator=seeded).tolist(), "steering": one}
        for i, one in enumerate(asks)
    ]
    folders = {name: str(tmp_path / name) for name in steerings}
    done = run_engine(
        model=str(tmp_path / "model"),
        engine={
            "additional_config": {"steersman": {"steerings": folders}},
            "max_model_len": 64,
            "max_num_batched_tokens": 16,
            "enable_prefix_caching": False,
        },
        steps=[
            {
                "generate": [{**one, "steering": one["steering"] or None} for one in asked],
                "tokens": NEW,
            }
        ],
    )
    found = [
        compare(
            answer,
            model,
            [(steerings[name], options) for name, options in one["steering"].items()],
            one["ids"],
        )
        for answer, one in zip(done["steps"][0], asked, strict=True)
    ]
    record_property("difference", max(found))
    assert max(found) < CLOSE
