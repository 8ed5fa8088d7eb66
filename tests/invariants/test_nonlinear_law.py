"""A rotation is steered alike however the tokens reach the model, as the affine laws are."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from steersman.control import Absolute, AngularLaw, Capped, Relative, Units
from steersman.engines import Channel
from steersman.invariants import agreement, untouched
from steersman.invariants.trial import Trial, difference, prepare

Models = Callable[[str], PreTrainedModel]


def rotations(trial: Trial) -> dict[str, Channel]:
    """Random planes; half a radian, absolute and relative, the last one under a cap."""
    blocks, n = len(trial.blocks), trial.blocks.n
    random = torch.randn(blocks, n, 2, generator=torch.Generator().manual_seed(3))
    law = AngularLaw(torch.linalg.qr(random)[0], until=torch.full((blocks,), 2.0))
    units = Units(torch.full((blocks, 1), 0.5), torch.zeros(blocks, 1))
    watch, scale = law.H[..., :1].contiguous(), trial.channels["plan"].scale
    shared: dict[str, Any] = {"watch": watch, "scale": scale, "tracks": False}
    return {
        "plan": Channel(law, Absolute(1.0), units, tokens="last", **shared),
        "absolute": Channel(law, Absolute(1.0), units, **shared),
        "relative": Channel(Capped(law, 0.1), Relative(1.0), units, **shared),
    }


@pytest.fixture(scope="module", params=["llama", "gpt2", "gemma2"])
def trial(request: Any, tiny_model: Models, tiny_tokenizer: Any) -> Trial:
    found = prepare(tiny_model(request.param), tiny_tokenizer, 0)
    return replace(found, channels=rotations(found))


@pytest.mark.parametrize(
    "check",
    [
        agreement.left_padding,
        agreement.right_padding,
        agreement.cache,
        agreement.chunked_prefill,
        agreement.generation,
        agreement.rows,
        untouched.full_strength,
        untouched.earlier_tokens,
    ],
)
def test_it_holds_for_a_rotation(check: Callable[[Trial], Any], trial: Trial) -> None:
    found = check(trial)
    assert found.holds and found.measured == found.measured, str(found)


def test_a_turn_of_zero_leaves_the_logits_bit_identical(trial: Trial) -> None:
    bare = trial.logits(trial.batch())
    with trial.steered(replace(trial.channels["relative"], reference=Relative(0.0))):
        assert difference(trial.logits(trial.batch()), bare) == 0.0
