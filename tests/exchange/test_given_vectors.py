"""Vectors by block: what is kept, and what is refused."""

import numpy as np
import pytest
import torch

from steersman.errors import InputError, MismatchError, NumericalError, ShapeError
from steersman.exchange import Vectors


def test_arrays_tensors_and_lists_are_kept_to_the_last_bit_of_their_precision() -> None:
    half = torch.randn(4).to(torch.bfloat16)
    single = np.random.default_rng(0).standard_normal(4).astype(np.float32)
    found = Vectors.of({np.int64(2): half, 0: single, 5: [1, 2, 3, 4]}, {"format": "x"})
    assert found.blocks == (0, 2, 5) and found.n == 4
    assert torch.equal(found.by_block[2], half.float())
    assert found.by_block[0].numpy().tobytes() == single.tobytes()
    assert found.by_block[5].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_what_was_given_may_change_afterwards() -> None:
    given = torch.ones(4)
    found = Vectors.of({0: given})
    given.zero_()
    assert found.by_block[0].tolist() == [1.0] * 4


def test_a_schedule_has_each_vector_at_its_block_and_nothing_else() -> None:
    found = Vectors.of({1: torch.ones(2), 3: torch.full((2,), 2.0)})
    expected = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [2.0, 2.0]])
    assert torch.equal(found.schedule(4, 2), expected)
    again = Vectors.of_schedule(expected, {})
    assert again.blocks == (1, 3) and torch.equal(again.schedule(4, 2), expected)
    assert found.only([3]).blocks == (3,)


def test_a_model_that_is_too_small_or_of_another_width_is_refused() -> None:
    found = Vectors.of({1: torch.ones(2), 3: torch.ones(2)})
    with pytest.raises(MismatchError, match="width 2, for blocks 1, 3; this model has blocks 0"):
        found.schedule(3, 2)
    with pytest.raises(MismatchError, match="width 5"):
        found.schedule(4, 5)
    with pytest.raises(
        InputError, match="no vector for block 2; there are vectors for blocks 1, 3"
    ):
        found.only([1, 2])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, InputError, "no vector"),
        ({"a": [1.0]}, InputError, "called 'a'; expected the number of its block"),
        ({True: [1.0]}, InputError, "called True"),
        ({-1: [1.0]}, InputError, "block -1"),
        ({0: ["x"]}, InputError, "not made of numbers"),
        ({0: [[1.0], [1.0, 2.0]]}, InputError, "not made of numbers"),
        ({0: [1j]}, InputError, "complex"),
        ({0: [1.0], 1: [1.0, 2.0]}, ShapeError, "expected one"),
        ({0: [[1.0]]}, ShapeError, "expected one"),
        ({0: [float("nan")]}, NumericalError, "block 0"),
    ],
)
def test_what_is_no_vector_is_refused(given: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        Vectors.of(given)
