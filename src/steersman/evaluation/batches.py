"""In which order samples are made, and with which random numbers each batch."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from steersman.data.examples import plain
from steersman.evaluation.items import Item, Prompt
from steersman.evaluation.task import Split, Task


@dataclass(frozen=True)
class Slot:
    """One sample that is to be made.

    Args:
        seed: of its prompt and its random numbers.
        index: which item of the seed.
        sample: which continuation of the prompt.
        item: what is asked.
    """

    seed: int
    index: int
    sample: int
    item: Item

    def begins(self) -> dict[str, Any]:
        """How its row begins, whatever comes of it."""
        asked = self.item.prompt if isinstance(self.item, Prompt) else self.item.context
        return {
            "seed": self.seed,
            "index": self.index,
            "sample": self.sample,
            "id": self.item.id,
            "group": self.item.group,
            "prompt": plain(asked),
        }


@dataclass(frozen=True)
class Batch:
    """Samples that are made together.

    Args:
        slots: the samples, all of one seed.
        random_seed: of their random numbers: a function of the task, the split, the seed and the
            batch's place alone, so that it does not matter what ran before.
    """

    slots: tuple[Slot, ...]
    random_seed: int


def batches_of(
    task: Task, split: Split, seeds: Sequence[int], count: int | None, batch_size: int
) -> tuple[Batch, ...]:
    """Every batch of an evaluation, in order.

    Args:
        task: what is asked.
        split: of which split.
        seeds: for each, other prompts where there are enough, and other random numbers.
        count: items of each seed.
        batch_size: samples at a time.
    """
    found = []
    for seed in seeds:
        slots = [
            Slot(seed, index, sample, item)
            for index, item in enumerate(task.items(split, seed, count))
            for sample in range(task.recipe.samples if isinstance(item, Prompt) else 1)
        ]
        for start in range(0, len(slots), batch_size):
            number = _hashed(f"{task.name} {split} {seed} {start // batch_size}")
            found.append(Batch(tuple(slots[start : start + batch_size]), number))
    return tuple(found)


def of_row(random_seed: int, row: int) -> int:
    """The random seed of a row of a batch that has to be made alone."""
    return _hashed(f"{random_seed} {row}")


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
