"""Presets are activation addition with settings of their own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hooked import close, fitted, hooked, sides, steered
from transformers import PreTrainedModel

from steersman.errors import UnknownNameError
from steersman.methods import PRESETS, ActivationAddition, preset
from steersman.plant import positions_named

Models = Callable[[str], PreTrainedModel]


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_names_what_can_be_asked_for(name: str) -> None:
    one = preset(name)
    positions_named(one.positions)
    assert one.source and one.desired and (one.strength or one.doubt)
    for blocks in (3, 28, 64):
        block = one.method(blocks).block
        assert block < blocks and (block == -1) == (one.depth is None)


def test_the_published_blocks_are_those_of_the_published_models() -> None:
    assert preset("caa").method(32).block == 13
    assert preset("seal").method(28).block == 20
    assert preset("shift").method(32).block == 31
    assert preset("language").method(32) == ActivationAddition(20)


@pytest.mark.parametrize("name", ["seal", "language"])
def test_the_published_strength_is_added_in_its_own_unit(
    name: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    """Raw contrasts and vectors of length one are told apart."""
    model, one = tiny_model("llama"), preset(name)
    steering = fitted(model, tiny_tokenizer, one.method(3))
    up, down = sides(model, tiny_tokenizer)
    (block,) = steering.controller.active
    c = (up - down)[:, block + 1].mean(0)
    push = c if one.unit == "contrast" else 5 * c / np.linalg.norm(c)
    target = one.target(float(np.linalg.norm(c)))
    assert target is not None
    expected = hooked(model, lambda b, x, y: y + push if b == block else y)
    close(steered(model, steering, target), expected)


def test_a_strength_that_was_not_found_out_is_not_made_up() -> None:
    assert preset("bias").target(3.0) is None


def test_an_unknown_name_lists_those_that_there_are() -> None:
    with pytest.raises(UnknownNameError, match="no preset 'sael'; choose one of caa, seal"):
        preset("sael")
