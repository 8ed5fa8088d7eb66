"""ThinkEdit against a transcription of its formulas, head by head."""

from typing import Any

import pytest
import torch
from edited_models import HEADS, PAIRS, double, map_of, read
from tiny_models import BLOCKS, tiny_model

from steersman.editing import ThinkEdit
from steersman.errors import ArchitectureError, InputError

PATHS = {"llama": "self_attn.o_proj", "gpt2": "attn.c_proj"}


@pytest.mark.parametrize("model_type", sorted(PATHS))
@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_the_heads_that_write_most_against_the_direction_are_projected(
    model_type: str, weight: float, tiny_tokenizer: Any
) -> None:
    model, path, count = double(model_type), PATHS[model_type], 3
    long, short = (
        read(model, tiny_tokenizer, texts, path) for texts in (PAIRS.desired, PAIRS.undesired)
    )
    contributions: dict[tuple[int, int], float] = {}
    directions = []
    for t in range(BLOCKS):
        # Behind attention the residual stream is the block's input and what attention adds.
        v = (long["x"][t] + long["out"][t]) - (short["x"][t] + short["out"][t])
        directions.append(v / v.norm())
        rows = map_of(model, t, path).T  # as published: a row vector a @ W_o^h
        width = rows.shape[0] // HEADS
        for h in range(HEADS):
            part = slice(h * width, (h + 1) * width)
            output = short["in"][t][part] @ rows[part]
            contributions[t, h] = float(output @ -directions[t])
    top = sorted(contributions, key=lambda at: -contributions[at])[:count]
    expected = [map_of(model, t, path).T.clone() for t in range(BLOCKS)]
    for t, h in top:
        width = expected[t].shape[0] // HEADS
        part, v = slice(h * width, (h + 1) * width), directions[t]
        expected[t][part] -= weight * torch.outer(expected[t][part] @ v, v)
    method = ThinkEdit(share=count / (BLOCKS * HEADS), weight=weight)
    delta = method.edit(model, tiny_tokenizer, PAIRS, batch_size=2, progress=False)
    assert delta.reason == f"{count} of {BLOCKS * HEADS} heads edited"
    with delta.apply(model):
        for t in range(BLOCKS):
            found = map_of(model, t, path).T
            torch.testing.assert_close(found, expected[t], atol=1e-10, rtol=0)
    assert len(delta.changes) == len({t for t, _ in top})


def test_at_least_one_head_is_edited(tiny_tokenizer: Any) -> None:
    delta = ThinkEdit(share=1e-6).edit(double("llama"), tiny_tokenizer, PAIRS, progress=False)
    assert delta.reason.startswith("1 of")


def test_attention_whose_output_is_normed_is_refused(tiny_tokenizer: Any) -> None:
    with pytest.raises(ArchitectureError, match="normed before it is added"):
        ThinkEdit().edit(tiny_model("gemma2"), tiny_tokenizer, PAIRS, progress=False)


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="share"):
        ThinkEdit(share=share)
