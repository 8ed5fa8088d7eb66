"""Parts that are left out share nothing with what is learnt from."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steersman.directions.leaving_out import Part, parts
from steersman.errors import InputError


def disjoint(part: Part, label: torch.Tensor) -> bool:
    return not set(label[part.train].tolist()) & set(label[part.test].tolist())


def test_pairs_are_left_out_once_each_and_as_a_whole() -> None:
    pair = torch.arange(12).repeat_interleave(3)
    found = parts([pair], 5)
    assert len(found) == 5
    assert all(disjoint(part, pair) and torch.equal(part.train, ~part.test) for part in found)
    assert torch.stack([part.test for part in found]).sum(0).tolist() == [1] * 36


def test_rows_that_share_a_continuation_are_left_out_together() -> None:
    pair, text = torch.arange(40), torch.arange(40) % 8
    found = parts([pair, text], 4)
    assert all(disjoint(part, text) and torch.equal(part.train, ~part.test) for part in found)
    assert torch.stack([part.test for part in found]).sum(0).tolist() == [1] * 40


def test_of_every_context_with_every_continuation_both_are_left_out() -> None:
    context = torch.arange(6).repeat_interleave(7)
    text = torch.arange(7).repeat(6)
    found = parts([context, text], 3)
    assert len(found) == 3
    for part in found:
        assert disjoint(part, context) and disjoint(part, text)
        assert part.test.sum() in (4, 6) and part.train.sum() in (4 * 4, 4 * 5)


@pytest.mark.parametrize("few", [1, 2, 4])
def test_a_kind_of_which_there_are_too_few_is_not_looked_at(few: int) -> None:
    pair = torch.arange(20)
    alone = parts([pair], 5)
    for labels in ([pair, pair % few], [pair % few, pair]):
        both = parts(labels, 5)
        assert all(torch.equal(a.test, b.test) for a, b in zip(alone, both, strict=True))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=20, max_size=80),
    st.integers(2, 5),
    st.integers(0, 3),
)
def test_nothing_that_can_be_left_out_is_ever_shared(
    rows: list[tuple[int, int]], folds: int, seed: int
) -> None:
    labels = list(torch.tensor(rows).unbind(1))
    try:
        found = parts(labels, folds, seed=seed)
    except InputError:
        return
    enough = [label for label in labels if len(set(label.tolist())) >= folds]
    for part in found:
        assert part.test.any() and part.train.any()
        assert all(disjoint(part, label) for label in enough)


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(InputError, match="3 pairs cannot be left out in 5 parts"):
        parts([torch.arange(3).repeat(2), torch.zeros(6, dtype=torch.long)], 5)


def test_labels_that_cannot_be_taken_apart_are_refused() -> None:
    # Every row has a label of its own kind in common with all others: a chain.
    first = torch.tensor([0, 0, 1, 1])
    second = torch.tensor([0, 1, 1, 0])
    found = parts([first, second], 2)
    assert all(disjoint(part, first) and disjoint(part, second) for part in found)
    with pytest.raises(InputError, match="so mixed"):
        parts([torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0])], 2, seed=1)
