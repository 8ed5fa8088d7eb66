"""Weights in eight and four bits: identified, read, steered, and told apart, like any others."""

from typing import Any

import pytest
import torch
from stored_linear import Int8Linear, Packed4BitLinear, dequantised, stored
from tiny_models import BLOCKS, WIDTH, tiny_model
from torch import Tensor

import steersman as sm
from steersman.invariants import check_all
from steersman.plant import average, capture_states, describe, fingerprint
from steersman.plant import identify as identify_blocks

PROMPTS = ["the cat sat on the mat", "the bird", "a happy dog"]
KINDS = [Int8Linear, Packed4BitLinear]
PAIRS = sm.ContrastivePairs(
    desired=["happy warm cat", "good red cat", "big warm cat"],
    undesired=["sad cold cat", "bad blue cat", "small cold cat"],
)

pytestmark = pytest.mark.filterwarnings("ignore:The separation could not be measured")


@pytest.fixture(params=KINDS, ids=["int8", "packed"])
def model(request: pytest.FixtureRequest) -> Any:
    found = stored(tiny_model("llama"), request.param)
    kept = {str(t.dtype) for t in [*found.parameters(), *found.buffers()]}
    assert kept & {"torch.int8", "torch.uint8"}
    return found


def near(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).abs().max() < 1e-5 * expected.abs().max())


def test_the_plant_is_that_of_the_weights_that_are_multiplied_by(
    model: Any, tiny_tokenizer: Any
) -> None:
    plain = dequantised(model)
    found = identify_blocks(model, tiny_tokenizer, PROMPTS, progress=False).A
    assert found.dtype == torch.float32
    assert near(found, identify_blocks(plain, tiny_tokenizer, PROMPTS, progress=False).A)
    assert not near(
        found, identify_blocks(tiny_model("llama"), tiny_tokenizer, PROMPTS, progress=False).A
    )
    columns = torch.randn(WIDTH, 2, generator=torch.Generator().manual_seed(0))
    plant = average(model, tiny_tokenizer, PROMPTS)
    for block in range(BLOCKS):
        assert near(plant.vjp(block, columns), found[block].T @ columns)
        assert near(plant.jvp(block, columns), found[block] @ columns)


def test_states_are_those_of_the_weights_that_are_multiplied_by(
    model: Any, tiny_tokenizer: Any
) -> None:
    expected = capture_states(dequantised(model), tiny_tokenizer, PROMPTS)
    assert near(capture_states(model, tiny_tokenizer, PROMPTS), expected)


@pytest.mark.parametrize("method", ["a-lqr", "feature-lqr"])
def test_a_steering_is_fitted_and_attached(method: str, model: Any, tiny_tokenizer: Any) -> None:
    ids, logits, made = torch.tensor([[1, 5, 9, 14]]), [], []
    for one in (model, dequantised(model)):
        made.append(sm.fit(one, tiny_tokenizer, PAIRS, method=method, progress=False))
        with made[-1].attach(one, 1.0, tokens="all"), torch.no_grad():
            logits.append(one(input_ids=ids).logits)
    assert near(made[0].gains, made[1].gains)
    assert near(logits[0], logits[1])


@pytest.mark.slow
def test_every_invariant_holds(model: Any, tiny_tokenizer: Any) -> None:
    assert [check.name for check in check_all(model, tiny_tokenizer) if not check.holds] == []


def test_a_model_is_described_and_told_apart(model: Any, tiny_tokenizer: Any) -> None:
    assert describe(model, tiny_tokenizer).blocks == BLOCKS
    other = stored(tiny_model("llama"), type(model.lm_head))
    assert fingerprint(other) == fingerprint(model)
    where = other.model.layers[1].mlp.up_proj
    kept = where.weight if isinstance(where, Int8Linear) else where.packed
    kept.data[0] += 1
    assert fingerprint(other) != fingerprint(model)
