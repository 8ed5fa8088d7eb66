"""What half precision costs: the products' own digits, and no more in any mean."""

import copy
from typing import Any

import numpy as np
import process_jobs as jobs
import pytest
import torch
from in_processes import in_processes, values
from tiny_models import VOCABULARY, WIDTH, tiny_model
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from steersman.plant import average, jacobians, linearize
from steersman.plant import identify as identify_blocks

HALVES = [torch.bfloat16, torch.float16]
ROUNDINGS = 4
"""Errors of half precision are at most this many of its roundings (0.6 to 3 of them are seen)."""


def prompt(seed: int = 1) -> Tensor:
    return torch.randint(5, VOCABULARY, (1, 9), generator=torch.Generator().manual_seed(seed))


def in_half(name: str, dtype: torch.dtype) -> Any:
    """A model in half precision; skipped where this machine has no kernels for it."""
    model = tiny_model(name).to(dtype)
    try:
        jacobians(model, prompt())
    except NotImplementedError as error:
        pytest.skip(f"no kernel for {dtype} here: {error}")
    return model


def exact(model: Any) -> Any:
    """The very same weights in float64."""
    return copy.deepcopy(model).double()


def error(found: Tensor, expected: Tensor) -> float:
    """The largest relative error of any block."""
    norms = torch.linalg.matrix_norm(expected.double())
    return float((torch.linalg.matrix_norm(found.double() - expected.double()) / norms).max())


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "phi", "falcon", "llama", "gemma2", "qwen3"])
def test_the_jacobians_of_a_half_precision_model_are_right_to_a_few_of_its_roundings(
    name: str, dtype: torch.dtype
) -> None:
    model = in_half(name, dtype)
    found = jacobians(model, prompt())
    assert found.dtype == torch.float32
    assert error(found, jacobians(exact(model), prompt())) < ROUNDINGS * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", HALVES)
def test_a_mean_over_prompts_loses_no_further_digit(
    dtype: torch.dtype, tiny_tokenizer: Any
) -> None:
    model, prompts = in_half("gpt2", dtype), jobs.PROMPTS * 3
    found = identify_blocks(model, tiny_tokenizer, prompts, progress=False).A
    ids = [tiny_tokenizer(text, return_tensors="pt")["input_ids"] for text in jobs.PROMPTS]
    each = torch.stack([jacobians(model, one) for one in ids])
    assert error(found, each.double().mean(0)) < 1e-6
    assert error(each.to(dtype).mean(0), each.double().mean(0)) > 1e-4


def test_roundings_of_different_prompts_cancel_in_the_mean() -> None:
    model = in_half("gpt2", torch.bfloat16)
    pairs = [(jacobians(model, x), jacobians(exact(model), x)) for x in map(prompt, range(9))]
    found, expected = (torch.stack(side).double().mean(0) for side in zip(*pairs, strict=True))
    alone = [error(half, double) for half, double in pairs]
    assert error(found, expected) < 0.7 * sum(alone) / len(alone)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("size", [1e4, 1.0, 1e-4, 1e-9])
def test_products_keep_their_digits_whatever_the_size_of_the_columns(
    size: float, dtype: torch.dtype
) -> None:
    model = in_half("gpt2", dtype)
    found, expected = (linearize(one, prompt()) for one in (model, exact(model)))
    columns = size * torch.randn(WIDTH, 3, generator=torch.Generator().manual_seed(0))
    columns[:, 2] *= 1e-6
    for half, double in (
        (found.vjp(1, columns), expected.vjp(1, columns)),
        (found.jvp(1, columns), expected.jvp(1, columns)),
    ):
        assert half.dtype == torch.float32
        wrong = (half - double).norm(dim=0) / double.norm(dim=0)
        assert float(wrong.max()) < ROUNDINGS * torch.finfo(dtype).eps


def test_the_size_of_the_columns_changes_no_bit_in_float32(tiny_model: Any) -> None:
    run = linearize(tiny_model("llama"), prompt())
    columns = torch.randn(WIDTH, 3, generator=torch.Generator().manual_seed(0))
    for product in (run.vjp, run.jvp):
        assert torch.equal(product(1, columns * 2.0**40), product(1, columns) * 2.0**40)
        assert not product(1, torch.zeros(WIDTH)).any()
        assert product(1, columns.double()).dtype == torch.float32


def test_sums_over_processes_are_in_float32(tiny_tokenizer: Any) -> None:
    in_half("gpt2", torch.bfloat16)
    matrices, products = jobs.in_bfloat16(0)
    for shared in values(in_processes(2, jobs.in_bfloat16)):
        for found, one in zip(shared, (matrices, products), strict=True):
            assert found.dtype == np.float32
            assert np.abs(found - one).max() < 1e-6 * np.abs(one).max()


def peak(blocks: int, prompts: int, tokenizer: Any) -> int:
    """Bytes that tensors take at most while a plant of n = 256 is identified."""
    model = tiny_model("llama", hidden_size=256, num_hidden_layers=blocks)
    identify_blocks(model, tokenizer, jobs.PROMPTS[:1], progress=False, chunk=32)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        identify_blocks(model, tokenizer, jobs.PROMPTS[:1] * prompts, progress=False, chunk=32)
    kinetics = record.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in kinetics if e.name() == "[memory]")
    return int(np.cumsum([size for _, size in changes]).max())


def test_memory_is_the_accumulators_and_one_blocks_batch(tiny_tokenizer: Any) -> None:
    matrix = 256 * 256 * 4
    few = peak(2, 1, tiny_tokenizer)
    assert few - 2 * matrix < 5 * matrix
    assert peak(4, 3, tiny_tokenizer) - few == pytest.approx(2 * matrix, rel=0.05)


@pytest.mark.parametrize("dtype", HALVES)
def test_products_with_the_mean_of_half_precision_models_are_those_of_each_prompt(
    dtype: torch.dtype, tiny_tokenizer: Any
) -> None:
    model = in_half("gpt2", dtype)
    columns = torch.randn(WIDTH, 2, generator=torch.Generator().manual_seed(0))
    ids = [tiny_tokenizer(text, return_tensors="pt")["input_ids"] for text in jobs.PROMPTS]
    each = torch.stack([linearize(model, one, chunk=8).vjp(0, columns) for one in ids])
    found = average(model, tiny_tokenizer, jobs.PROMPTS).vjp(0, columns)
    assert error(found[None], each.double().mean(0)[None]) < 1e-6
