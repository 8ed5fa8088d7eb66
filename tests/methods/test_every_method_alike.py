"""What holds for every method: rows, caches, places and chance. See docs/verification.md."""

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from every_method import settings_of, usual
from hooked import IDS, fitted
from torch import Tensor
from transformers import PreTrainedModel

import steersman as sm
from steersman.methods import METHODS
from steersman.plant import HookSet, hidden_in, hidden_out, locate

Models = Callable[[str], PreTrainedModel]
Fit = Callable[[str], sm.Steering]
EACH = pytest.mark.parametrize("name", list(METHODS))
ALIKE = [
    # A-LQR+ is A-LQR at other tokens, and here both are at all of them.
    {"a-lqr", "a-lqr+"},
    # The contrast of one block at the target 1, under the names of publications that differ in
    # examples, tokens and depths, of which three blocks have few. Of two classes the curve is a
    # line, and a step along it is the contrast too.
    {"activation-addition", "caa", "bias", "personality", "refusal-addition", "manifold"},
    # The same behind the last block. Measured from the unsteered token every token is below one
    # unit more, and what sets the feature there adds the contrast.
    {"clamp", "one-sided-clamp", "seal"},
]
"""Which methods do the same at target 1, on purpose."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the autoencoders are."""
    return tmp_path_factory.mktemp("autoencoders")


@pytest.fixture(scope="module")
def fit(tiny_model: Models, tiny_tokenizer: Any, folder: Path) -> Fit:
    """`fit("a-lqr")`: fitted once and used by all."""
    return cache(lambda name: fitted(tiny_model("llama"), tiny_tokenizer, usual(name, folder)))


@EACH
@torch.no_grad()
def test_a_row_of_a_padded_batch_is_steered_as_alone_by_every_method(
    name: str, fit: Fit, tiny_model: Models
) -> None:
    model = tiny_model("llama")
    short, gap = IDS[0, :6], torch.zeros(4, dtype=torch.long)
    for padded, real in (
        (torch.cat([gap, short]), slice(4, 10)),
        (torch.cat([short, gap]), slice(6)),
    ):
        ids, mask = torch.stack([IDS[0], padded]), torch.zeros(2, 10, dtype=torch.long)
        mask[0], mask[1, real] = 1, 1
        with fit(name).attach(model, 1.0, tokens="all", trace=False):
            together = model(ids, attention_mask=mask).logits
        for row, (one, places) in enumerate(((IDS[0], slice(10)), (short, real))):
            with fit(name).attach(model, 1.0, tokens="all", trace=False):
                alone = model(one[None]).logits
            torch.testing.assert_close(together[row, places], alone[0], rtol=1e-3, atol=1e-4)


@EACH
@torch.no_grad()
def test_a_cache_changes_no_token_that_any_method_writes(
    name: str, fit: Fit, tiny_model: Models
) -> None:
    model: Any = tiny_model("llama")
    ids = torch.stack([IDS[0], torch.cat([torch.zeros(4, dtype=torch.long), IDS[0, :6]])])
    mask = (ids != 0).long()
    written = []
    for cached in (True, False):
        with fit(name).attach(model, 1.0, tokens="last", trace=False):
            written.append(
                model.generate(
                    ids,
                    attention_mask=mask,
                    min_new_tokens=6,
                    max_new_tokens=6,
                    do_sample=False,
                    use_cache=cached,
                    pad_token_id=0,
                )
            )
    assert torch.equal(*written)


def place(name: str, block: int) -> dict[str, Any] | None:
    """The setting that has the method act at that block alone; None where there is none."""
    if "block" in settings_of(name):
        return {"block": block}
    return {"blocks": (block,)} if "blocks" in settings_of(name) else None


@torch.no_grad()
def states(model: Any) -> list[Tensor]:
    """`x_0 .. x_T` of the pass that the caller sees; an unsteered one may go before."""
    seen: list[Tensor] = []
    modules = locate(model).modules
    with HookSet() as hooks:
        for module in modules:
            hooks.before(module, lambda a, k: seen.append(hidden_in(a, k).clone()))
        hooks.after(modules[-1], lambda a, k, out: seen.append(hidden_out(out).clone()))
        model(IDS)
    return seen[-len(modules) - 1 :]


@pytest.mark.parametrize("name", [name for name in METHODS if place(name, 1)])
def test_a_method_at_one_block_changes_its_output_and_nothing_before(
    name: str, tiny_model: Models, tiny_tokenizer: Any, folder: Path
) -> None:
    model, where = tiny_model("llama"), place(name, 1)
    assert where is not None
    steering = fitted(model, tiny_tokenizer, usual(name, folder, **where))
    bare = states(model)
    with steering.attach(model, 1.0, tokens="all", trace=False):
        found = states(model)
    changed = [not torch.equal(*pair) for pair in zip(found, bare, strict=True)]
    assert changed == [False, False, True, True]


@EACH
def test_a_fit_draws_nothing_from_a_generator_that_it_shares(
    name: str, fit: Fit, tiny_model: Models, tiny_tokenizer: Any, folder: Path
) -> None:
    before = fit(name).controller
    torch.manual_seed(12345)
    np.random.seed(12345)
    shared = torch.get_rng_state(), np.random.get_state()[1].copy()
    again = fitted(tiny_model("llama"), tiny_tokenizer, usual(name, folder)).controller
    assert torch.equal(torch.get_rng_state(), shared[0])
    assert np.array_equal(np.random.get_state()[1], shared[1])
    for part in ("H", "G", "plan", "shifts"):
        assert torch.equal(getattr(before, part), getattr(again, part)), part
    assert before.own.keys() == again.own.keys()
    assert all(torch.equal(before.own[key], again.own[key]) for key in before.own)


@torch.no_grad()
def test_no_two_methods_do_the_same_but_those_that_say_so(fit: Fit, tiny_model: Models) -> None:
    model = tiny_model("llama")
    logits = {}
    for name in METHODS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            with fit(name).attach(model, 1.0, tokens="all", trace=False):
                logits[name] = model(IDS).logits
    same: list[set[str]] = []
    for name in METHODS:
        groups = (
            one
            for one in same
            if torch.allclose(logits[name], logits[next(iter(one))], rtol=1e-4, atol=1e-5)
        )
        group = next(groups, None)
        if group is None:
            same.append({name})
        else:
            group.add(name)
    assert sorted(map(sorted, ALIKE)) == sorted(sorted(one) for one in same if len(one) > 1)
