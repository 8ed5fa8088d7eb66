"""What a method may be fitted and tuned on; there is no way from here to a test prompt."""

from collections.abc import Iterable
from dataclasses import dataclass

from steersman.data import AlignedPairs, ContrastivePairs, Example
from steersman.data.examples import plain
from steersman.errors import InputError
from steersman.evaluation.items import Item, Prompt
from steersman.evaluation.task import Task


@dataclass(frozen=True, eq=False)
class Material:
    """Examples and prompts of one seed.

    Args:
        seed: which.
        pairs: examples of the fitting split.
        aligned: examples for methods that learn from aligned pairs; None where there are none.
        prompts: prompts of the validation split, to find a strength by.
        new_tokens: how much follows each of them.
    """

    seed: int
    pairs: ContrastivePairs
    aligned: ContrastivePairs | AlignedPairs | None
    prompts: tuple[Example, ...]
    new_tokens: int


@dataclass(frozen=True)
class Kept:
    """The test prompts of every seed, kept back so that nothing of them is fitted or tuned on.

    Args:
        ids: names of the test items.
        texts: what they say.
    """

    ids: frozenset[str]
    texts: frozenset[str]

    @classmethod
    def of(cls, task: Task, seeds: Iterable[int], count: int) -> "Kept":
        """Those of a task.

        Args:
            task: whose.
            seeds: of which seeds.
            count: how many of each.
        """
        items = [item for seed in seeds for item in task.items("test", seed, count)]
        return cls(
            frozenset(item.id for item in items),
            frozenset(str(plain(_asked(item))) for item in items),
        )

    def require_none_in(self, material: Material, ids: Iterable[str]) -> None:
        """Refuse material with a test prompt in it.

        Args:
            material: examples and prompts.
            ids: names of the items that the prompts are from.

        Raises:
            InputError: the task's splits are not disjoint.
        """
        shared = self.ids.intersection(ids)
        fitted = [*material.pairs.desired, *material.pairs.undesired]
        if material.aligned is not None:
            fitted += [*material.aligned.desired, *material.aligned.undesired]
        seen = [text for text in map(str, map(plain, fitted)) if text in self.texts]
        if shared or seen:
            name = sorted(shared or seen)[0]
            what = "validation" if shared else "fitting"
            raise InputError(
                f"the task has {name!r:.80} both in its {what} split and in its test split: what "
                "is chosen on test prompts cannot be reported on them. Make the splits disjoint."
            )


def material_of(task: Task, seed: int, *, pairs: int, validation: int, kept: Kept) -> Material:
    """The fitting and the validation split of a seed.

    Args:
        task: what is asked.
        seed: which examples and prompts.
        pairs: how many examples on each side.
        validation: how many prompts.
        kept: the test prompts, none of which may be among them.

    Raises:
        InputError: the task has no such examples or prompts, or its splits are not disjoint.
    """
    items = task.items("validation", seed, validation)
    found = Material(
        seed=seed,
        pairs=task.pairs(seed, pairs),
        aligned=task.aligned(seed, pairs),
        prompts=tuple(_asked(item) for item in items),
        new_tokens=task.recipe.new_tokens,
    )
    kept.require_none_in(found, [item.id for item in items])
    return found


def _asked(item: Item) -> Example:
    return item.prompt if isinstance(item, Prompt) else item.context
