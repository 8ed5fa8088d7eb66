"""Laws that read what leaves a block, and those that read what enters it."""

from collections.abc import Callable

import pytest
import torch
from test_run import PROMPT, padded, run_with
from torch import Tensor
from transformers import PreTrainedModel

from steersman.control import Absolute, AffineField, Reads, Units
from steersman.engines import Channel
from steersman.plant import HookSet, hidden_out, locate, with_hidden

ARCHITECTURES = ("llama", "gemma2", "gpt2", "gpt_neox", "olmo2", "falcon")
Models = Callable[[str], PreTrainedModel]


def axis(model: PreTrainedModel) -> Tensor:
    v = torch.randn(locate(model).n, generator=torch.Generator().manual_seed(0))
    return v / v.norm()


def taking_out(model: PreTrainedModel, reads: Reads, amount: float = 1.0) -> Channel:
    """`u = -v v'x`, at every block."""
    blocks = locate(model)
    v = axis(model).expand(len(blocks), -1).unsqueeze(-1).contiguous()
    law = AffineField(v, -v, torch.zeros(len(blocks), 1), reads=reads)
    units = Units.plain(len(blocks))
    return Channel(law, Absolute(amount), units, v, units, tracks=False)


@torch.no_grad()
def projections(model: PreTrainedModel, channel: Channel, ids: Tensor) -> Tensor:
    """`v'y` of what leaves every block for the next, `(blocks, rows, tokens)`."""
    v, found = axis(model), []
    with run_with(model, channel, trace=False), HookSet() as hooks:
        for block in locate(model).modules:
            hooks.after(block, lambda args, kwargs, out: found.append(hidden_out(out) @ v))
        model(ids)
    return torch.stack(found)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_law_that_reads_outputs_sets_exactly_what_leaves_a_block(
    tiny_model: Models, name: str
) -> None:
    model = tiny_model(name)
    left = projections(model, taking_out(model, "output"), PROMPT)
    through = projections(model, taking_out(model, "input"), PROMPT)
    assert left.abs().max() < 1e-5 < 1e-3 < through.abs().max()


@torch.no_grad()
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_is_what_a_hook_on_every_block_would_do(tiny_model: Models, name: str) -> None:
    model, v = tiny_model(name), axis(tiny_model(name))
    with HookSet() as hooks:
        for block in locate(model).modules:
            hooks.after(
                block,
                lambda args, kwargs, out: with_hidden(
                    out, hidden_out(out) - (hidden_out(out) @ v)[..., None] * v
                ),
            )
        expected = model(PROMPT).logits
    with run_with(model, taking_out(model, "output"), trace=True) as run:
        found = model(PROMPT).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    # What is shown of a block is still what enters it.
    assert run.trace.feature.shape[0] == 1


@torch.no_grad()
def test_several_laws_at_a_block_each_read_what_the_ones_before_have_left(
    tiny_model: Models,
) -> None:
    model = tiny_model("llama")
    once = taking_out(model, "output")
    with run_with(model, once, trace=False):
        expected = model(PROMPT).logits
    with run_with(model, once, once, trace=False):
        torch.testing.assert_close(model(PROMPT).logits, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_rows_and_padding_keep_out_of_it(tiny_model: Models) -> None:
    model = tiny_model("llama")
    ids, mask = padded([PROMPT[0], PROMPT[0, :5]], "left")
    with run_with(model, taking_out(model, "output"), trace=False):
        together = model(ids, attention_mask=mask).logits[1, -1]
    with run_with(model, taking_out(model, "output"), trace=False):
        alone = model(PROMPT[:, :5]).logits[0, -1]
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_none_of_it_is_the_bare_model_bit_for_bit(tiny_model: Models) -> None:
    model = tiny_model("llama")
    expected = model(PROMPT).logits
    with run_with(model, taking_out(model, "output", 0.0), trace=False):
        assert torch.equal(model(PROMPT).logits, expected)
