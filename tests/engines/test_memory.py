"""What is remembered of a row goes where the row goes."""

import pytest
import torch
from transformers import DynamicCache

from steersman.engines.memory import RowMemory
from steersman.engines.mirror import Mirror


@pytest.fixture
def memory() -> RowMemory:
    found = RowMemory()
    found.write(0, torch.tensor([[1, 2], [3, 4]]))
    return found


def filled() -> DynamicCache:
    cache = DynamicCache()
    states = torch.arange(8.0).view(2, 1, 2, 2)
    cache.update(states, states, 0)
    return cache


def kept(memory: RowMemory) -> list[list[int]]:
    assert memory.kept is not None
    return memory.kept.tolist()


def test_columns_are_added_and_overwritten(memory: RowMemory) -> None:
    memory.write(2, torch.tensor([[5], [6]]))
    assert kept(memory) == [[1, 2, 5], [3, 4, 6]]
    memory.write(1, torch.tensor([[7], [8]]))
    assert kept(memory) == [[1, 7], [3, 8]]
    memory.forget()
    assert memory.kept is None


def test_rows_follow_the_cache(memory: RowMemory) -> None:
    cache, mirror = filled(), Mirror((memory,))
    mirror.follow(cache)
    cache.reorder_cache(torch.tensor([1, 1]))
    assert kept(memory) == [[3, 4], [3, 4]]
    cache.batch_repeat_interleave(2)
    assert len(kept(memory)) == 4
    cache.batch_select_indices(torch.tensor([0]))
    cache.crop(-1)
    assert kept(memory) == [[3]]
    assert cache.layers[0].keys.shape == (1, 1, 1, 2)


def test_a_cache_is_given_its_own_methods_back(memory: RowMemory) -> None:
    first, second, mirror = filled(), filled(), Mirror((memory,))
    mirror.follow(first)
    mirror.follow(second)
    first.crop(-1)
    assert kept(memory) == [[1, 2], [3, 4]]
    mirror.close()
    second.crop(-1)
    assert kept(memory) == [[1, 2], [3, 4]]


def test_an_empty_memory_follows_too() -> None:
    memory = RowMemory()
    cache, mirror = filled(), Mirror((memory,))
    mirror.follow(cache)
    cache.reorder_cache(torch.tensor([1, 0]))
    cache.crop(-1)
    assert memory.kept is None
