"""Captured states are the residual stream, whatever the batch, the padding and the architecture."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import disk_offload
from tiny_models import BLOCKS, CONFIGURATIONS, WIDTH
from tiny_models import tiny_model as fresh_model
from torch import Tensor

from steersman.errors import InputError, NumericalError
from steersman.plant.blocks import locate
from steersman.plant.capture import capture_batch, capture_states, capture_tokens
from steersman.plant.hooks import HookSet, hidden_in, hidden_out, hooked
from steersman.plant.positions import AfterMarker, AllTokens, LastToken, Positions
from steersman.plant.tokens import encode

TEXTS = [
    "the cat sat on the mat and a dog ran",
    "the bird",
    "the dog said the cat ran under a tree .",
    "a",
    "the house is red and the tree is blue said the big cat",
]


def one_at_a_time(model: Any, tokenizer: Any, text: str) -> Tensor:
    """x_0 .. x_T at every token, from the model's own record and a hook for x_T alone."""
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    last: list[Tensor] = []
    module = locate(model).modules[-1]
    handle = module.register_forward_hook(lambda m, a, out: last.append(hidden_out(out)))
    with torch.no_grad():
        # On a copy: transformers leaves hooks of its own behind when it records.
        record = deepcopy(model)(input_ids=ids, output_hidden_states=True).hidden_states
        model(input_ids=ids)
    handle.remove()
    return torch.stack([*record[:-1], last[-1]])[:, 0].transpose(0, 1)


@pytest.mark.parametrize("model_type", sorted(CONFIGURATIONS))
def test_states_equal_the_models_own_record_one_text_at_a_time(
    model_type: str, tiny_model: Any, tiny_tokenizer: Any
) -> None:
    model = tiny_model(model_type)
    states = capture_states(model, tiny_tokenizer, TEXTS, batch_size=3)
    alone = torch.stack([one_at_a_time(model, tiny_tokenizer, text)[-1] for text in TEXTS])
    assert states.shape == (len(TEXTS), BLOCKS + 1, WIDTH)
    torch.testing.assert_close(states, alone, rtol=1e-5, atol=1e-5 * alone.abs().max().item())


@pytest.mark.parametrize("model_type", sorted(CONFIGURATIONS))
def test_left_and_right_padding_give_the_same_states(
    model_type: str, tiny_model: Any, tiny_tokenizer_without_pad: Any
) -> None:
    model = tiny_model(model_type)
    blocks = locate(model)
    last = [[len(text.split())] for text in TEXTS]
    left, right = (
        capture_batch(model, blocks, encode(tiny_tokenizer_without_pad, TEXTS, side=side), last)
        for side in ("left", "right")
    )
    torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-5 * right.abs().max().item())


@pytest.mark.parametrize("batch_size", [1, 2, 16])
@pytest.mark.parametrize("rule", [LastToken(), AllTokens(), AfterMarker("the"), None])
def test_batching_does_not_matter(
    rule: Positions | None, batch_size: int, tiny_model: Any, tiny_tokenizer: Any
) -> None:
    texts = [f"{text} the" for text in TEXTS]
    reference = capture_states(tiny_model("gemma2"), tiny_tokenizer, texts, rule, batch_size=3)
    states = capture_states(
        tiny_model("gemma2"), tiny_tokenizer, texts, rule, batch_size=batch_size
    )
    torch.testing.assert_close(states, reference, rtol=1e-5, atol=1e-5)


def test_several_tokens_are_averaged_and_bos_is_left_out(
    tiny_model: Any, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    states = capture_states(model, tiny_tokenizer, TEXTS, AllTokens())
    alone = [one_at_a_time(model, tiny_tokenizer, text)[1:].mean(0) for text in TEXTS]
    torch.testing.assert_close(states, torch.stack(alone), rtol=1e-5, atol=1e-5)


def test_single_tokens_keep_their_place(tiny_model: Any, tiny_tokenizer: Any) -> None:
    model = tiny_model("qwen2")
    found = capture_tokens(model, tiny_tokenizer, TEXTS, AllTokens(), batch_size=2)
    lengths = [len(text.split()) for text in TEXTS]
    assert found.example.tolist() == [i for i, length in enumerate(lengths) for _ in range(length)]
    assert found.position.tolist() == [p + 1 for length in lengths for p in range(length)]
    alone = [one_at_a_time(model, tiny_tokenizer, text)[1:] for text in TEXTS]
    torch.testing.assert_close(found.states, torch.cat(alone), rtol=1e-5, atol=1e-5)


def test_conversations_are_captured_through_the_template(
    tiny_model: Any, tiny_tokenizer: Any
) -> None:
    chat = [{"role": "user", "content": "the cat"}]
    model = tiny_model("llama")
    states = capture_states(model, tiny_tokenizer, [chat])
    rendered = "<s> <turn> user : the cat <end> <turn> assistant :"
    torch.testing.assert_close(states, capture_states(model, tiny_tokenizer, [rendered]))


def test_states_of_a_bfloat16_model_come_in_float32(tiny_tokenizer: Any) -> None:
    model = fresh_model("llama").to(torch.bfloat16)
    states = capture_states(model, tiny_tokenizer, TEXTS)
    assert states.dtype == torch.float32
    exact = capture_states(fresh_model("llama"), tiny_tokenizer, TEXTS)
    assert (states - exact).norm() < 0.03 * exact.norm()


def test_states_of_a_float64_model_keep_their_precision(tiny_tokenizer: Any) -> None:
    states = capture_states(fresh_model("llama").double(), tiny_tokenizer, TEXTS)
    assert states.dtype == torch.float64


def test_a_model_whose_weights_are_offloaded_is_captured_all_the_same(
    tiny_tokenizer: Any, tmp_path: Path
) -> None:
    exact = capture_states(fresh_model("llama"), tiny_tokenizer, TEXTS)
    model = fresh_model("llama")
    disk_offload(model, tmp_path, execution_device=torch.device("cpu"))
    assert next(model.parameters()).device.type == "meta"
    assert torch.equal(capture_states(model, tiny_tokenizer, TEXTS), exact)


def test_a_state_that_is_not_finite_is_named(tiny_tokenizer: Any) -> None:
    model = fresh_model("llama")
    cat = tiny_tokenizer.convert_tokens_to_ids("cat")
    model.model.embed_tokens.weight.data[cat, 0] = torch.inf
    with pytest.raises(NumericalError, match="example 2: state 0, the input of block 0"):
        capture_states(model, tiny_tokenizer, ["the", "the dog", "the cat"])
    model = fresh_model("llama")
    model.model.layers[-1].mlp.down_proj.weight.data[0] = torch.nan
    with pytest.raises(NumericalError, match=f"state {BLOCKS}, the output of block {BLOCKS - 1}"):
        capture_states(model, tiny_tokenizer, ["the"])


def test_nothing_is_left_on_the_model_also_after_an_error(tiny_tokenizer: Any) -> None:
    model = fresh_model("llama")
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    capture_states(model, tiny_tokenizer, TEXTS)

    def fail(args: Any, kwargs: Any) -> None:
        raise RuntimeError("in the middle of a forward")

    with HookSet() as hooks:
        hooks.before(model.model.layers[1].mlp, fail)
        with pytest.raises(RuntimeError, match="in the middle"):
            capture_states(model, tiny_tokenizer, TEXTS)
    assert not any(hooked(module) for module in model.modules())
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert not model.training and all(p.grad is None for p in model.parameters())


def test_a_hook_on_a_block_output_is_seen_in_the_next_state(tiny_tokenizer: Any) -> None:
    model = fresh_model("llama")
    push = torch.ones(WIDTH)
    bare = capture_states(model, tiny_tokenizer, TEXTS)
    with HookSet() as hooks:
        hooks.after(model.model.layers[-1], lambda args, kwargs, out: out + push)
        steered = capture_states(model, tiny_tokenizer, TEXTS)
    torch.testing.assert_close(steered[:, -1], bare[:, -1] + push)
    assert torch.equal(steered[:, :-1], bare[:, :-1])


def test_a_model_in_training_mode_is_refused(tiny_tokenizer: Any) -> None:
    with pytest.raises(InputError, match=r"training mode.*model\.eval\(\)"):
        capture_states(fresh_model("llama").train(), tiny_tokenizer, TEXTS)


def test_a_text_longer_than_the_context_is_refused(tiny_model: Any, tiny_tokenizer: Any) -> None:
    with pytest.raises(InputError, match="example 1 .* 81 tokens and the limit is 64"):
        capture_states(tiny_model("llama"), tiny_tokenizer, ["the", "the " * 80])


def test_a_rule_that_selects_nothing_is_refused(tiny_model: Any, tiny_tokenizer: Any) -> None:
    with pytest.raises(InputError, match="'marker:cat' selects no token in 2 of 5 .* example 1"):
        capture_states(tiny_model("llama"), tiny_tokenizer, TEXTS, AfterMarker("cat"))


def test_no_text_at_all_is_refused(tiny_model: Any, tiny_tokenizer: Any) -> None:
    with pytest.raises(InputError, match="0 examples in batches of 16"):
        capture_states(tiny_model("llama"), tiny_tokenizer, [])


def test_hidden_in_is_what_the_block_receives(tiny_model: Any) -> None:
    model = tiny_model("gemma3_text")
    seen: list[Tensor] = []
    with HookSet() as hooks, torch.no_grad():
        hooks.before(locate(model).modules[0], lambda a, k: seen.append(hidden_in(a, k)))
        model(input_ids=torch.tensor([[1, 2]]))
    assert seen[0].shape == (1, 2, WIDTH)
