"""How often a fit runs the examples: once, for nearly every method that is not trained."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from every_method import usual
from hooked import fitted
from transformers import PreTrainedModel

import steersman as sm
from steersman.control import LTVSystem
from steersman.methods import METHODS

Models = Callable[[str], PreTrainedModel]
PAIRS, BLOCKS = 8, 3
TRIAL = [[1, 2, 3, 4, 5]]
UNTRAINED = [name for name, method in METHODS.items() if not method.trains]
REREADING = [name for name in UNTRAINED if METHODS[name].about.rereads]
ONCE = [name for name in UNTRAINED if name not in REREADING and name != "cast"]


def reads_the_same(name: str) -> str:
    """Another method that learns from the same states, where there is one."""
    if METHODS[name]().learns_at != "block" or METHODS[name].positions not in (None, "last"):
        return name
    # Tokens of aligned pairs are told apart, and the other pairs are read at one token each.
    return "cylinder" if METHODS[name].aligned else "clamp"


@contextmanager
def examples_run(model: Any) -> Iterator[list[int]]:
    """The rows of every forward pass from here on, whoever calls for it.

    Single tokens behind a cache are no examples, and neither is the one short row by which it is
    found out where the parts of a block are.
    """
    rows: list[int] = []

    def count(module: Any, args: Any, kwargs: Any) -> None:
        ids = args[0] if args else kwargs["input_ids"]
        if ids.shape[1] > 1 and ids.tolist() != TRIAL:
            rows.append(len(ids))

    handle = model.base_model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield rows
    finally:
        handle.remove()


def fit(model: Any, tokenizer: Any, name: str, plant: LTVSystem | None, **how: Any) -> None:
    plant = plant if METHODS[name].plant != "none" else None
    fitted(model, tokenizer, name, jacobian_prompts=plant, **how)


@pytest.fixture(scope="module")
def plant(tiny_model: Models, tiny_tokenizer: Any) -> LTVSystem:
    return sm.identify(tiny_model("llama"), tiny_tokenizer, ["the cat sat"], progress=False)


@pytest.mark.parametrize("name", ONCE)
def test_a_fit_runs_every_example_once_and_not_at_all_where_states_were_kept(
    name: str, tiny_model: Models, tiny_tokenizer: Any, plant: LTVSystem, tmp_path: Path
) -> None:
    model = tiny_model("llama")
    with examples_run(model) as rows:
        fit(model, tiny_tokenizer, name, plant)
    assert sum(rows) == 2 * PAIRS
    fit(model, tiny_tokenizer, reads_the_same(name), plant, cache=tmp_path)
    with examples_run(model) as rows:
        fit(model, tiny_tokenizer, name, plant, cache=tmp_path)
    assert sum(rows) == 0


@pytest.mark.parametrize("name", REREADING)
def test_a_method_that_reads_again_runs_the_undesired_examples_once_more_for_each_later_block(
    name: str, tiny_model: Models, tiny_tokenizer: Any, plant: LTVSystem, tmp_path: Path
) -> None:
    model, again = tiny_model("llama"), (BLOCKS - 1) * PAIRS
    with examples_run(model) as rows:
        fit(model, tiny_tokenizer, name, plant, cache=tmp_path)
    assert sum(rows) == 2 * PAIRS + again
    with examples_run(model) as rows:
        fit(model, tiny_tokenizer, name, plant, cache=tmp_path)
    assert sum(rows) == again


def test_a_condition_on_prompts_reads_the_examples_once_more_and_whole(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    with examples_run(tiny_model("llama")) as rows:
        fit(tiny_model("llama"), tiny_tokenizer, "cast", None)
    assert sum(rows) == 2 * PAIRS + 2 * PAIRS


@pytest.mark.parametrize(
    ("name", "again"),
    [(name, 2 * PAIRS) for name in ("sae-feature", "sae-clamp", "lf-steering")]
    + [(name, PAIRS + 100) for name in ("langfir", "langfir-ablation")],
)
def test_a_method_that_reads_features_runs_what_it_reads_them_of_once_more(
    name: str, again: int, tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    with examples_run(tiny_model("llama")) as rows:
        fitted(tiny_model("llama"), tiny_tokenizer, usual(name, tmp_path))
    assert sum(rows) == 2 * PAIRS + again


def test_those_that_read_again_are_the_ones_that_say_so() -> None:
    assert sorted(REREADING) == ["linear-act", "mean-act", "pid-steering"]


@pytest.mark.parametrize("name", ["a-lqr", "feature-lqr"])
def test_a_plant_that_is_not_known_runs_the_beginning_of_each_prompt_once(
    name: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    with examples_run(model) as rows:
        fit(model, tiny_tokenizer, name, None)
    # The desired examples, as far as there are 32; single tokens go on from there.
    assert sum(rows) == 2 * PAIRS + PAIRS
