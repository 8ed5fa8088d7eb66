"""Which rows of a batch are steered: the same as under transformers, however tokens arrive."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from steersman.engines import tokens_named
from steersman.engines.window import Sequences, Window
from steersman.vllm.asking import Asked, AskedLaw
from steersman.vllm.rows import LawOnRequest, Slots

PROMPT, TOTAL = 7, 12
RULES = [
    "all",
    "last",
    "generated",
    "prompt",
    "prompt:first:2",
    "prompt:last:3",
    "prompt:first:1+last:2",
    "ids:3,5,9",
    "generated&ids:3,4,5,11",
    "prompt&ids:1,2,3,4,5",
    "last&ids:5,6,7,8,9&ids:6,7,9",
]


def chunks(sizes: list[int]) -> Iterator[tuple[int, int]]:
    first = 0
    for size in sizes:
        yield first, size
        first += size


def opened_at_once(rule: str, ids: torch.Tensor) -> list[bool]:
    sequences = Sequences(PROMPT)
    window = Window(0, torch.ones(1, TOTAL, dtype=torch.bool), ids[None], False)
    sequences.enter(window)
    return tokens_named(rule).open(window, sequences)[0].tolist()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("sizes", [[12], [7, 1, 1, 1, 1, 1], [3, 3, 2, 4], [6, 1, 5], [8, 4]])
def test_tokens_that_arrive_in_parts_are_chosen_as_if_they_came_at_once(
    rule: str, sizes: list[int]
) -> None:
    ids = torch.arange(TOTAL)
    law = LawOnRequest(AskedLaw("key", rule, []), PROMPT)
    found = np.concatenate([law.opened(first, size) for first, size in chunks(sizes)])
    allowed = np.isin(ids.numpy(), law.ids) if law.ids is not None else True
    assert (found & allowed).tolist() == opened_at_once(rule, ids)


def test_what_a_request_asks_survives_the_way_to_another_process() -> None:
    asked = Asked(5, (AskedLaw("key/plan", "last", [[0.1], [float(np.float32(1 / 3))]]),))
    assert Asked.of_plain(asked.to_plain()) == asked
    assert asked.keys == {"key/plan"}


def test_a_waiting_request_gives_up_its_slot_and_gets_another() -> None:
    slots = Slots(2)
    assert slots.take("a", {"a", "b"}) == (1, True)
    assert slots.take("b", {"a", "b"}) == (2, True)
    assert slots.take("a", {"a", "b"}) == (1, False)
    assert slots.take("c", {"a", "c"}) == (2, True)
    assert slots.take("b", {"b", "c"}) == (1, True)
    slots.release("c")
    assert slots.take("d", {"b", "d"}) == (2, True)
