"""Integrated gradients against completeness, finite differences and a plain second way, float64."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from steersman.errors import InputError
from steersman.plant import HookSet, hooked, locate, pad_id, positions_named, tokenize
from steersman.training import Bench, Written, written
from steersman.training.attribution import integrated_gradients

Models = Callable[[str], PreTrainedModel]
EACH = pytest.mark.parametrize("name", ["llama", "gpt2"])


def bench_of(model: Any, tokenizer: Any, size: int = 3) -> Bench:
    w = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    desired = [f"{w[0]} {w[i]} {w[i + 1]} {w[3]}" + f" {w[5]}" * (i % 3) for i in range(2, 6)]
    undesired = [f"{w[0]} {w[-i]} {w[-i - 1]} {w[3]}" for i in range(2, 6)]
    sides = [tokenize(tokenizer, side) for side in (desired, undesired)]
    found = written(*sides, positions_named("last"), True)
    return Bench(model, pad_id(tokenizer), *found, True, batch_size=size)


def wide(tiny_model: Models, name: str) -> Any:
    """In float64, and with norms that are smooth where the path begins.

    With an epsilon of 1e-6 a random Llama changes at every scale down to 1e-9 of its embeddings,
    and no quadrature of a few hundred points follows that.
    """
    model = copy.deepcopy(tiny_model(name)).to(torch.float64)
    for module in model.modules():
        if hasattr(module, "variance_epsilon"):
            module.variance_epsilon = 0.1
    return model


def likelihood(model: Any, one: Written, scale: Tensor) -> Tensor:
    """`log p(response)` with every token's embedding scaled by a number of its own."""
    ids = torch.tensor([one.ids])
    with HookSet() as hooks:
        hooks.after(model.get_input_embeddings(), lambda a, k, out: out * scale[None, :, None])
        logits = model(ids).logits[0].log_softmax(-1)
    return sum(logits[t - 1, one.ids[t]] for t in range(one.start, len(one.ids)))


@EACH
def test_attributions_add_up_to_the_objective(
    name: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    bench = bench_of(wide(tiny_model, name), tiny_tokenizer)
    found = integrated_gradients(bench, bench.desired, 100)
    for one, tokens, whole, nothing in zip(bench.desired, *found, strict=True):
        ones = torch.ones(len(one.ids)).double()
        with torch.no_grad():
            expected = [likelihood(bench.model, one, s * ones) for s in (1.0, 0.0)]
        torch.testing.assert_close(torch.stack([whole, nothing]), torch.stack(expected))
        torch.testing.assert_close(tokens.sum(), whole - nothing, rtol=1e-6, atol=1e-9)
    assert found.missing < 1e-6


# The norms of a Llama compute in float32 whatever the model does, and differences see that.
@pytest.mark.parametrize("name", ["gpt2", "gpt_neox"])
def test_they_are_finite_differences_of_each_token_along_the_path(
    name: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    """The integrand is the slope of the objective in one token's own scale."""
    bench, steps, h = bench_of(wide(tiny_model, name), tiny_tokenizer), 6, 1e-5
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    found = integrated_gradients(bench, bench.desired[:2], steps)
    for one, tokens in zip(bench.desired[:2], found.tokens, strict=True):
        expected = torch.zeros(len(one.ids)).double()
        for a, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
            for i in range(len(one.ids)):
                ends = []
                for sign in (1, -1):
                    scale = torch.full((len(one.ids),), a).double()
                    scale[i] += sign * h
                    with torch.no_grad():
                        ends.append(likelihood(bench.model, one, scale))
                expected[i] += weight * (ends[0] - ends[1]) / (2 * h)
        torch.testing.assert_close(tokens, expected, rtol=1e-5, atol=1e-8)


def test_a_plain_sum_over_the_path_comes_to_the_same(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = wide(tiny_model, "gpt2")
    bench = bench_of(model, tiny_tokenizer)
    one, steps = bench.undesired[1], 400
    e = model.get_input_embeddings()(torch.tensor([one.ids])).detach()
    total = torch.zeros_like(e)
    for j in range(steps):
        x = ((j + 0.5) / steps * e).requires_grad_()
        logits = model(inputs_embeds=x).logits[0].log_softmax(-1)
        value = sum(logits[t - 1, one.ids[t]] for t in range(one.start, len(one.ids)))
        total += torch.autograd.grad(value, x)[0] / steps
    (found,) = integrated_gradients(bench, [one], 20).tokens
    torch.testing.assert_close(found, (e * total).sum(-1)[0], rtol=1e-4, atol=1e-6)


@EACH
def test_a_batch_says_what_each_example_says_alone(
    name: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    bench = bench_of(wide(tiny_model, name), tiny_tokenizer)
    examples = [*bench.desired, *bench.undesired]
    assert len({len(one.ids) for one in examples}) > 1
    together = integrated_gradients(bench, examples, 5)
    for one, tokens in zip(examples, together.tokens, strict=True):
        (alone,) = integrated_gradients(bench, [one], 5).tokens
        torch.testing.assert_close(tokens, alone, rtol=1e-7, atol=1e-10)


def test_every_token_of_a_response_counts_and_the_last_one_changes_nothing(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    bench = bench_of(wide(tiny_model, "llama"), tiny_tokenizer)
    one = bench.desired[2]
    assert len(one.ids) - one.start > 2
    found = integrated_gradients(bench, [one], 5)
    logits = bench.model(torch.tensor([one.ids])).logits[0].log_softmax(-1)
    each = torch.stack([logits[t - 1, one.ids[t]] for t in range(one.start, len(one.ids))])
    torch.testing.assert_close(found.likelihood[0], each.sum().detach())
    assert float(found.likelihood[0]) < float(each[-1].detach())
    assert float(found.tokens[0][-1]) == 0 and bool(found.tokens[0][:-1].all())


def test_one_gradient_where_the_input_is_does_not_add_up(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    """Integrated, they are not what a plain gradient times the input is."""
    model = wide(tiny_model, "llama")
    bench = bench_of(model, tiny_tokenizer)
    one = bench.desired[1]
    e = model.get_input_embeddings()(torch.tensor([one.ids])).detach().requires_grad_()
    logits = model(inputs_embeds=e).logits[0].log_softmax(-1)
    value = sum(logits[t - 1, one.ids[t]] for t in range(one.start, len(one.ids)))
    plain = (torch.autograd.grad(value, e)[0] * e).sum().detach()
    found = integrated_gradients(bench, [one], 100)
    whole = (found.likelihood - found.baseline)[0]
    assert abs(float(plain - whole)) > 10 * abs(float(found.tokens[0].sum() - whole))


def test_the_model_is_left_as_it_was(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model = tiny_model("llama")
    bench = bench_of(model, tiny_tokenizer)
    with torch.inference_mode():
        integrated_gradients(bench, bench.desired, 2)
    assert not hooked(locate(model).embed)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    with pytest.raises(InputError, match="steps is 0"):
        integrated_gradients(bench, bench.desired, 0)
