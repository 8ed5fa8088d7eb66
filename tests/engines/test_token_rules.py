"""Every rule for tokens chooses what is written down here by hand, however the tokens arrive."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from test_run import channel, logits, padded, run_with
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from steersman.engines import TokenIds, tokens_named
from steersman.errors import InputError

Models = Callable[[str], PreTrainedModel]
SOME = ("llama", "gpt2", "gemma3_text", "qwen3")
NAMES = (
    *("last", "all", "generated", "prompt", "prompt:first:2", "prompt:last:3"),
    *("prompt:first:2+last:1", "ids:5,9,20", "generated&ids:5,9,20"),
)
ROWS = [torch.tensor([3, 5, 9, 5, 7, 20]), torch.tensor([9, 4, 5]), torch.tensor([8])]
WRITTEN = torch.tensor([[5, 11, 20], [12, 9, 9], [20, 13, 5]])


def wanted(name: str, prompt: list[int], written: list[int]) -> list[bool]:
    """For every token of one row, whether the rule of that name chooses it."""
    tokens, found = prompt + written, []
    for place, token in enumerate(tokens):
        generated, marked = place >= len(prompt), token in (5, 9, 20)
        found.append(
            {
                "last": place >= len(prompt) - 1,
                "all": True,
                "generated": generated,
                "prompt": not generated,
                "prompt:first:2": not generated and place < 2,
                "prompt:last:3": not generated and place >= len(prompt) - 3,
                "prompt:first:2+last:1": not generated and (place < 2 or place == len(prompt) - 1),
                "ids:5,9,20": marked,
                "generated&ids:5,9,20": generated and marked,
            }[name]
        )
    return found


def chosen(run: Any, mask: Tensor) -> list[list[bool]]:
    """What a trace says was steered, row by row without padding."""
    steered = run.trace.steered
    return [row[real].tolist() for row, real in zip(steered, mask.bool(), strict=True)]


def batch(side: str = "left") -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The prompts padded, then with what was written behind them."""
    ids, mask = padded(ROWS, side)
    return ids, mask, torch.cat([ids, WRITTEN], 1), torch.cat([mask, torch.ones_like(WRITTEN)], 1)


def expected(name: str) -> list[list[bool]]:
    return [wanted(name, p.tolist(), w.tolist()) for p, w in zip(ROWS, WRITTEN, strict=True)]


@torch.no_grad()
def stepped(model: PreTrainedModel, ids: Tensor, mask: Tensor, sizes: list[int]) -> Tensor:
    """Logits of consecutive passes behind a cache."""
    cache, parts, done = DynamicCache(config=model.config), [], 0
    for size in sizes:
        now = slice(done, done + size)
        places = (mask.cumsum(1) - 1).clamp(min=0)[:, now]
        out = model(
            input_ids=ids[:, now],
            attention_mask=mask[:, : now.stop],
            position_ids=places,
            past_key_values=cache,
            use_cache=True,
        )
        parts.append(out.logits)
        done += size
    return torch.cat(parts, dim=1)


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_chooses_the_tokens_that_its_name_says(name: str, tiny_model: Models) -> None:
    model, law = tiny_model("llama"), channel(tiny_model("llama"), tokens=name, planned=True)
    ids, mask, whole, all_real = batch()
    length = ids.shape[1]
    for sizes in ([length, 1, 1, 1], [length, 2, 1], [length + 3]):
        given = {"prompt_length": length} if len(sizes) == 1 else {}
        with run_with(model, law, **given) as run:
            stepped(model, whole, all_real, sizes)
        assert chosen(run, all_real) == expected(name)
    with run_with(model, law, prompt_length=length) as run:  # the prompt in chunks
        stepped(model, whole, all_real, [2, 3, 1, 3])
    assert chosen(run, all_real) == expected(name)


@pytest.mark.parametrize("name", NAMES)
def test_padding_on_the_right_of_a_prompt_changes_nothing(name: str, tiny_model: Models) -> None:
    model, law = tiny_model("llama"), channel(tiny_model("llama"), tokens=name, planned=True)
    ids, mask = padded(ROWS, "right")
    with run_with(model, law) as run:
        logits(model, ids, mask)
    assert chosen(run, mask) == [wanted(name, row.tolist(), []) for row in ROWS]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", SOME)
def test_a_cache_chunks_and_a_batch_agree_for_every_rule(
    kind: str, name: str, tiny_model: Models
) -> None:
    model = tiny_model(kind)
    law = channel(model, tokens=name)
    prompt = ROWS[0][None]
    whole = torch.cat([prompt, WRITTEN[:1]], dim=1)
    real, length = torch.ones_like(whole), prompt.shape[1]
    with run_with(model, law, prompt_length=length):
        at_once = logits(model, whole)
    for sizes, given in (([length, 1, 1, 1], {}), ([2, 3, 1, 3], {"prompt_length": length})):
        with run_with(model, law, **given):
            assert torch.allclose(stepped(model, whole, real, sizes), at_once, atol=2e-4)
    bare = logits(model, whole)
    closed = torch.tensor(wanted(name, prompt[0].tolist(), WRITTEN[0].tolist())).cumsum(0) == 0
    assert torch.equal(at_once[0, closed], bare[0, closed])
    assert closed.all() or not torch.equal(at_once, bare)


@pytest.mark.parametrize("name", ["generated", "prompt:first:2+last:1", "ids:5,9,20"])
@pytest.mark.parametrize("beams", [1, 3])
def test_generation_is_the_same_with_a_cache_and_without(
    name: str, beams: int, tiny_model: Models
) -> None:
    model = tiny_model("llama")
    law = channel(model, tokens=name, size=0.8)
    ids, mask, _, _ = batch()
    made = []
    for cache in (True, False):
        with run_with(model, law):
            made.append(
                model.generate(
                    ids,
                    attention_mask=mask,
                    max_new_tokens=6,
                    min_new_tokens=6,
                    do_sample=False,
                    num_beams=beams,
                    use_cache=cache,
                    pad_token_id=0,
                )
            )
    assert torch.equal(made[0], made[1])
    for row, prompt in enumerate(ROWS):
        with run_with(model, law):
            alone = model.generate(
                prompt[None],
                attention_mask=torch.ones_like(prompt)[None],
                max_new_tokens=6,
                min_new_tokens=6,
                do_sample=False,
                num_beams=beams,
                pad_token_id=0,
            )
        assert torch.equal(alone[0, len(prompt) :], made[0][row, ids.shape[1] :])


def test_a_rule_that_chooses_nothing_leaves_every_bit(tiny_model: Models) -> None:
    model, ids = tiny_model("llama"), ROWS[0][None]
    for law in (channel(model, tokens="generated"), channel(model, tokens="ids:63")):
        with run_with(model, law):
            steered = logits(model, ids)
        assert torch.equal(steered, logits(model, ids))


@pytest.mark.parametrize("name", [*NAMES, "matching", "text:a, b&c\n\n", "ids:7&text:x"])
def test_a_name_gives_a_rule_of_that_name(name: str) -> None:
    assert tokens_named(name).name == str(tokens_named(name)) == name
    rule = tokens_named(name)
    assert tokens_named(rule) is rule
    assert tokens_named(rule.name) == rule


def test_ids_are_sorted_and_a_text_goes_last() -> None:
    assert tokens_named("ids:9, 5,9").name == "ids:5,9"
    assert (tokens_named("text:\n\n") & tokens_named("generated")).name == "generated&text:\n\n"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("first", "choose one of last, all, matching, generated, prompt, prompt:first:K"),
        ("prompt:first:0", "write it as prompt:first:K, prompt:last:M"),
        ("prompt:first:2+first:3", "write it as"),
        ("prompt:middle:2", "write it as"),
        ("ids:five", "write it as ids:ID,ID"),
        ("ids:", "no token id"),
        ("text:", "names no text"),
        ("text:a&text:b", None),
        ("ids:3&", "choose one of"),
    ],
)
def test_a_name_that_is_none_says_what_there_is(name: str, said: str | None) -> None:
    if said is None:
        assert tokens_named(name).name == name  # all of it is one text
        return
    with pytest.raises(InputError, match=said):
        tokens_named(name)


def test_a_text_becomes_the_tokens_that_contain_it(tiny_tokenizer: Any) -> None:
    rule = tokens_named("text:re").with_tokenizer(tiny_tokenizer)
    holding = {i for word, i in tiny_tokenizer.get_vocab().items() if "re" in word}
    assert holding and isinstance(rule, TokenIds)
    assert holding == set(rule.ids)
    with pytest.raises(InputError, match="no token of this vocabulary contains"):
        tokens_named("text:nowhere at all").with_tokenizer(tiny_tokenizer)


def test_a_rule_that_lacks_something_is_refused_before_anything_runs(tiny_model: Models) -> None:
    model = tiny_model("llama")
    with pytest.raises(InputError, match="read by a tokenizer"):
        channel(model, tokens="text:red")
    with pytest.raises(InputError, match="asks a fitted steering"):
        replace(channel(model), tokens="matching")
    with run_with(model, channel(model, tokens="ids:3")), pytest.raises(InputError, match="ids"):
        model(inputs_embeds=torch.zeros(1, 2, model.config.hidden_size))
