"""A task: what is asked, how it is decoded, who judges, which score counts."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any, Literal

from steersman.data import AlignedPairs, ContrastivePairs
from steersman.errors import InputError
from steersman.evaluation.items import Item
from steersman.evaluation.judges import Judge
from steersman.sampling import WHOLE, Decoding

Split = Literal["fit", "validation", "test", "all"]
"""Examples to fit on, prompts to choose settings by, prompts to report; or all that there are."""


@dataclass(frozen=True)
class Recipe:
    """How continuations are drawn.

    Args:
        name: what it is called.
        source: where it is from.
        new_tokens: how many tokens at most.
        samples: continuations of every prompt.
        decoding: how a token is chosen.
    """

    name: str
    source: str
    new_tokens: int
    samples: int = 1
    decoding: Decoding = WHOLE

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to judge."""
        if self.new_tokens < 1 or self.samples < 1:
            raise InputError(
                f"new_tokens is {self.new_tokens} and samples {self.samples}; both must be at "
                "least 1."
            )

    def settings(self) -> dict[str, Any]:
        """Plain data, to be written down."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Task(ABC):
    """What a steering is asked to change, and how that is seen.

    The examples to fit on, the prompts of the validation split and those of the test split are
    disjoint: what a prompt says decides which split it belongs to, so that a copy of it elsewhere
    in the data belongs to the same.

    Args:
        name: such as "toxicity".
        asked: what the steering should do, in words.
        headline: the score that counts.
        rises: whether the headline should rise.
        recipe: how continuations are drawn; of questions with choices nothing is drawn.
        judges: who judges them, each its own scores.
        side: scores of these judges that are side effects rather than the matter itself.
        data: what the items are made of, to be written down: names and hashes, no paths.
    """

    name: str
    asked: str
    headline: str
    rises: bool
    recipe: Recipe
    judges: tuple[Judge, ...] = ()
    side: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)

    @abstractmethod
    def items(self, split: Split, seed: int, count: int | None) -> tuple[Item, ...]:
        """Items of a split, all different where the data allow it.

        Args:
            split: which split.
            seed: which of them, and in which order.
            count: how many; fewer where the split holds no more. None is all that there are.

        Raises:
            InputError: there are none.
        """

    @abstractmethod
    def pairs(self, seed: int, count: int) -> ContrastivePairs:
        """Contrastive examples of the fitting split.

        Args:
            seed: which of them.
            count: how many on each side, at most.

        Raises:
            InputError: the data hold no examples for it.
        """

    def aligned(self, seed: int, count: int) -> ContrastivePairs | AlignedPairs | None:
        """The same of examples whose two sides end in the same tokens; None where there are none.

        Args:
            seed: which of them.
            count: how many, at most.
        """
        return None

    def in_context(self) -> "Task | None":
        """The same prompts in a context that asks for what is desired; None where none is known.

        What the unsteered model does there is what a steering is asked for at target 1.
        """
        return None

    def per_prompt(self, samples: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """The scores of one prompt from those of its samples: their mean.

        Args:
            samples: the scores of each continuation of the prompt that has any.
        """
        names = dict.fromkeys(name for scores in samples for name in scores)
        return {name: fmean(one[name] for one in samples if name in one) for name in names}

    def settings(self) -> dict[str, Any]:
        """Everything that decides what the items and scores are, as plain data."""
        return {
            "name": self.name,
            "headline": self.headline,
            "rises": self.rises,
            "recipe": self.recipe.settings(),
            "judges": [judge.settings() for judge in self.judges],
            "data": dict(self.data),
        }
