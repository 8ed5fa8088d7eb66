"""Real processes share the prompts of a plant; each gets the same, or hears who failed."""

from pathlib import Path
from typing import Any

import numpy as np
import process_jobs as jobs
import pytest
import torch
from in_processes import in_processes, values
from safetensors import safe_open
from tiny_models import BLOCKS, tiny_model

from steersman.plant import Processes, SharedAverage, average


def close(A: np.ndarray, B: np.ndarray) -> bool:
    return bool(np.abs(A - B).max() <= 1e-6 * np.abs(B).max())


def counts(file: Path) -> list[int]:
    """How many prompts each block has seen by a checkpoint."""
    with safe_open(file, "pt") as opened:
        return list(map(int, opened.metadata()["counts"].strip("[]").split(",")))


@pytest.fixture(scope="module")
def alone() -> np.ndarray:
    """The plant as one process identifies it."""
    return jobs.found(tiny_model("llama"))


@pytest.mark.parametrize("count", [2, 3])
def test_processes_find_the_plant_that_one_finds(count: int, alone: np.ndarray) -> None:
    plants = values(in_processes(count, jobs.identified, "llama"))
    assert close(plants[0], alone)
    assert all(np.array_equal(plant, plants[0]) for plant in plants)


def test_fewer_prompts_than_processes_are_enough() -> None:
    one = jobs.found(tiny_model("gpt2"), jobs.PROMPTS[:1])
    for plant in values(in_processes(3, jobs.identified, "gpt2", jobs.PROMPTS[:1])):
        assert np.array_equal(plant, one)


def test_progress_is_shown_by_the_first_process_alone(alone: np.ndarray) -> None:
    (plant, shown), (_, silent) = values(in_processes(2, jobs.identified_from_an_estimate))
    assert close(plant, alone)
    assert silent == ""
    assert "in each of 2 processes" in shown
    whole = len(jobs.PROMPTS) * BLOCKS
    assert f"{whole}/{whole}" in shown


@pytest.mark.parametrize("what", ["model", "prompts"])
def test_processes_that_were_given_different_things_are_refused(what: str) -> None:
    for one in in_processes(2, jobs.identified_by_unlike_processes, what):
        assert one.error == "MismatchError"
        assert f"not the same {what} in process 1 as in process 0" in one.message


def test_a_prompt_that_fails_in_one_process_is_named_in_all(tmp_path: Path) -> None:
    file = tmp_path / "plant.safetensors"
    first, second = in_processes(2, jobs.identified_up_to_a_word, "happy", file)
    assert (first.error, second.error) == ("ProcessError", "NumericalError")
    assert "process 1 of 2 failed" in first.message
    assert second.message in first.message
    assert "prompt 3 ('a happy dog')" in second.message
    assert counts(file) == [2] * BLOCKS


@pytest.mark.parametrize("count", [1, 3])
def test_any_number_of_processes_goes_on_after_an_error(
    count: int, tmp_path: Path, alone: np.ndarray
) -> None:
    file = tmp_path / "plant.safetensors"
    in_processes(2, jobs.identified_up_to_a_word, "happy", file)
    plants = values(in_processes(count, jobs.identified, "llama", jobs.PROMPTS, file))
    assert close(plants[0], alone)
    assert all(np.array_equal(plant, plants[0]) for plant in plants)
    assert counts(file) == [len(jobs.PROMPTS)] * BLOCKS
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize("who", [0, 1])
def test_the_death_of_a_process_ends_the_others_and_keeps_what_was_written(
    who: int, tmp_path: Path
) -> None:
    file = tmp_path / "plant.safetensors"
    # A prompt runs a block twice: over its prefix, and at its last token.
    ends = in_processes(2, jobs.identified_up_to_a_death, who, 3, file)
    assert ends[who].died
    assert ends[1 - who].error == "LostProcessError"
    assert "another process died" in ends[1 - who].message
    assert "in the checkpoint" in ends[1 - who].message
    assert counts(file) == [4, 2, 2]


@pytest.mark.parametrize("count", [1, 3])
def test_any_number_of_processes_goes_on_in_the_middle_of_a_prompt(
    count: int, tmp_path: Path, alone: np.ndarray
) -> None:
    file = tmp_path / "plant.safetensors"
    in_processes(2, jobs.identified_up_to_a_death, 1, 3, file)
    plants = values(in_processes(count, jobs.identified, "llama", jobs.PROMPTS, file))
    assert close(plants[0], alone)
    assert counts(file) == [len(jobs.PROMPTS)] * BLOCKS


def test_a_silent_process_is_waited_for_no_longer_than_the_group_waits(tmp_path: Path) -> None:
    waiting, _ = in_processes(2, jobs.identified_beside_a_silent_one, tmp_path / "told")
    assert waiting.error == "LostProcessError"
    assert "silent for longer than the group waits" in waiting.message
    assert jobs.PATIENCE <= waiting.seconds < 5 * jobs.PATIENCE


def test_a_process_works_alone_in_a_group_of_itself(alone: np.ndarray) -> None:
    first, second = values(in_processes(2, jobs.identified_alone))
    assert np.array_equal(first, alone)
    assert second is None


def test_a_process_outside_of_the_group_is_refused() -> None:
    _, outside = in_processes(2, jobs.identified_in_a_group_of_others)
    assert outside.error == "InputError"
    assert "not in the group" in outside.message


def test_a_group_for_accelerators_alone_gets_one_for_the_cpu(alone: np.ndarray) -> None:
    for plant in values(in_processes(2, jobs.identified, "llama", backend="cuda:gloo")):
        assert close(plant, alone)


def test_a_model_in_a_data_parallel_wrapper_is_identified(alone: np.ndarray) -> None:
    for plant in values(in_processes(2, jobs.identified_in_a_data_parallel_wrapper)):
        assert close(plant, alone)


def test_processes_that_hold_one_model_between_them_run_every_prompt_together(
    alone: np.ndarray,
) -> None:
    for count, plant in values(in_processes(2, jobs.identified_with_weights_spread_out)):
        assert count == 1
        assert close(plant, alone)


def test_such_processes_cannot_keep_a_checkpoint(tmp_path: Path) -> None:
    for one in in_processes(2, jobs.identified_with_weights_spread_out, tmp_path / "plant"):
        assert one.error == "InputError"
        assert "leave it out" in one.message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("count", "prompts"), [(2, 5), (3, 2)])
def test_products_are_those_of_one_process(count: int, prompts: int) -> None:
    one = jobs.products(0, jobs.PROMPTS[:prompts])
    shared = values(in_processes(count, jobs.products, jobs.PROMPTS[:prompts]))
    assert close(shared[0], one)
    assert all(np.array_equal(each, shared[0]) for each in shared)


def test_products_of_one_process_that_shares_with_nobody_are_its_own(tiny_tokenizer: Any) -> None:
    model = tiny_model("llama")
    own = average(model, tiny_tokenizer, jobs.PROMPTS)
    shared = SharedAverage(Processes(), own, len(jobs.PROMPTS), own.blocks, own.n, torch.float32)
    for block in range(own.blocks):
        assert torch.equal(shared.vjp(block, jobs.COLUMNS), own.vjp(block, jobs.COLUMNS))
        assert torch.equal(shared.jvp(block, jobs.COLUMNS), own.jvp(block, jobs.COLUMNS))


def test_processes_that_ask_for_different_products_are_refused() -> None:
    for one in in_processes(2, jobs.unlike_products):
        assert one.error == "MismatchError"
        assert "not the same product" in one.message


def test_a_product_that_fails_in_one_process_fails_in_all() -> None:
    first, second = in_processes(2, jobs.products_that_one_cannot_take)
    assert (first.error, second.error) == ("ProcessError", "NumericalError")
    assert "the output of block 0 is not finite" in first.message


@pytest.mark.filterwarnings("ignore:The separation could not be measured")
@pytest.mark.parametrize("method", ["a-lqr", "feature-lqr"])
def test_processes_fit_the_steering_that_one_fits(method: str) -> None:
    one = jobs.fitted(0, method)
    shared = values(in_processes(2, jobs.fitted, method))
    for each in shared:
        for got, expected, first in zip(each, one, shared[0], strict=True):
            assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()
            assert np.array_equal(got, first)
