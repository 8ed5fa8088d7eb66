"""Attention-guided features: weights written out from queries and keys, labels, and the machine."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hooked import close, fitted, hooked, steered
from scipy.stats import pearsonr
from torch import Tensor
from transformers import PreTrainedModel

import steersman as sm
from steersman.directions.kernel_machine import feature_machine
from steersman.directions.probe import fold_numbers
from steersman.errors import InputError
from steersman.methods import AttentionGuided
from steersman.plant import hooked as hooked_by_us
from steersman.plant.attending import attending

Models = Callable[[str], PreTrainedModel]


def statements(tokenizer: Any, count: int = 10) -> sm.ContrastivePairs:
    """A statement behind an instruction, and alone; all end in the same two words."""
    words = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    said = [f"{words[i]} {words[-i - 1]} {words[0]} {words[1]}" for i in range(2, 2 + count)]
    return sm.ContrastivePairs(
        desired=[f"{words[3]} {words[4 + i % 3]} {one}" for i, one in enumerate(said)],
        undesired=said,
    )


@torch.no_grad()
def weights(model: Any, ids: Tensor) -> list[Tensor]:
    """Attention of a GPT-2 in every block, from its queries and keys; `(heads, length, length)`."""
    found: list[Tensor] = []
    handles = []
    for block in model.transformer.h:

        def keep(m: Any, args: Any, out: Tensor) -> None:
            q, k, _ = out[0].double().chunk(3, dim=-1)
            heads = model.config.n_head
            q, k = (x.view(len(x), heads, -1).transpose(0, 1) for x in (q, k))
            scores = q @ k.mT / q.shape[-1] ** 0.5
            mask = torch.ones_like(scores).tril().bool()
            found.append(scores.masked_fill(~mask, -torch.inf).softmax(-1))

        handles.append(block.attn.c_attn.register_forward_hook(keep))
    try:
        model(ids)
    finally:
        for handle in handles:
            handle.remove()
    return found


def test_attention_is_that_of_queries_and_keys_whatever_the_padding(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model: Any = tiny_model("gpt2")
    rows = [tuple(range(6, 14)), tuple(range(9, 14)), (6, 20, 21, 22, 12, 13)]
    before = model.config._attn_implementation
    found = attending(model, rows, [3, 0, 2], 2, pad_id=0, batch_size=2)
    assert model.config._attn_implementation == before != "eager"
    for row, ids in enumerate(rows):
        expected = weights(model, torch.tensor([ids]))
        for block, weight in enumerate(expected):
            mine = weight.mean(0)[-2:, : [3, 0, 2][row]].sum(-1)
            torch.testing.assert_close(
                found.attention[row, :, block].double(), mine, rtol=1e-4, atol=1e-6
            )


def test_its_own_attention_is_there_again_after_a_failure(tiny_model: Models) -> None:
    model: Any = tiny_model("gpt2")
    before = model.config._attn_implementation
    with pytest.raises(IndexError):
        attending(model, [(6, 10_000)], [0], 1, pad_id=0)
    assert model.config._attn_implementation == before
    assert not any(hooked_by_us(block) for block in model.transformer.h)


def test_each_block_is_pushed_along_what_the_machine_learns_from_its_labels(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model: Any = tiny_model("gpt2")
    pairs = statements(tiny_tokenizer)
    rows = [
        [tiny_tokenizer(text)["input_ids"] for text in side]
        for side in (pairs.desired, pairs.undesired)
    ]
    looked = [[weights(model, torch.tensor([ids])) for ids in side] for side in rows]
    blocks = model.config.n_layer
    # The shared end is two words; the instruction is two words behind the first token.
    made = fitted(model, tiny_tokenizer, AttentionGuided("vector"), pairs=pairs)
    natural = fitted(model, tiny_tokenizer, AttentionGuided(), pairs=pairs)
    assert made.controller.active == tuple(range(1, blocks))
    for block in range(1, blocks):
        on = np.array(
            [
                [
                    float(w[block].mean(0)[j, : len(ids) - _alike(ids, other)].sum())
                    for j in (-2, -1)
                ]
                for w, ids, other in zip(looked[0], *rows, strict=True)
            ]
        )
        token = int(on.mean(0).argmax())
        x = torch.stack(
            [_state(model, ids, block, token - 2) for side in rows for ids in side]
        ).double()
        y = torch.from_numpy(np.concatenate([on[:, token], np.zeros(len(rows[1]))]))
        y = (y - y.min()) / (y.max() - y.min())
        unit = x / x.norm(dim=1, keepdim=True)
        held = fold_numbers(len(rows[0]), len(rows[1])) == 0
        u = feature_machine(unit[~held], y[~held], unit[held], y[held]).direction
        torch.testing.assert_close(made.plan[block].double(), u, rtol=1e-3, atol=1e-4)
        assert pearsonr((unit @ u).numpy(), y.numpy()).statistic > 0
        apart = float((x[: len(rows[0])].mean(0) - x[len(rows[0]) :].mean(0)) @ u)
        expected = apart / (blocks - 1) * u
        torch.testing.assert_close(natural.plan[block].double(), expected, rtol=1e-3, atol=1e-4)
    plan = made.plan.double().numpy()
    expected_logits = hooked(model, lambda block, x, y: y + 0.5 * plan[block])
    close(steered(model, made, 0.5), expected_logits)


def _alike(ids: list[int], other: list[int]) -> int:
    count = 0
    while count < min(len(ids), len(other)) and ids[-1 - count] == other[-1 - count]:
        count += 1
    return count


@torch.no_grad()
def _state(model: Any, ids: list[int], block: int, place: int) -> Tensor:
    seen: list[Tensor] = []
    handle = model.transformer.h[block].register_forward_hook(
        lambda m, a, out: seen.append(out[0] if isinstance(out, tuple) else out)
    )
    try:
        model(torch.tensor([ids]))
    finally:
        handle.remove()
    return seen[0][0, place]


def test_examples_that_end_differently_have_no_token_in_common(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    words = [w for w in sorted(tiny_tokenizer.get_vocab()) if w.isalpha()]
    said = [f"{words[0]} {word}" for word in words[1:7]]
    pairs = sm.ContrastivePairs([f"{words[8]} {one}" for one in said], said)
    with pytest.raises(InputError, match="tokens that all examples share"):
        fitted(tiny_model("gpt2"), tiny_tokenizer, "attention-guided", pairs=pairs)


@pytest.mark.parametrize("kind", ["llama", "gemma2", "opt", "gpt_neox", "gptj", "mixtral", "phi"])
def test_every_block_shows_weights_that_sum_to_one(kind: str, tiny_model: Models) -> None:
    found = attending(tiny_model(kind), [range(6, 12), range(8, 12)], [6, 4], 1, pad_id=0)
    torch.testing.assert_close(found.attention, torch.ones_like(found.attention))


def test_examples_that_are_not_pairs_are_refused(tiny_model: Models, tiny_tokenizer: Any) -> None:
    pairs = sm.ContrastivePairs(["the cat sat", "a dog ran", "a cat sat"], ["the dog sat", "a ran"])
    with pytest.raises(InputError, match="together"):
        fitted(tiny_model("gpt2"), tiny_tokenizer, "attention-guided", pairs=pairs)
