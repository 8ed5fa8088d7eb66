"""Concepts: does a story come round to what the steering is about?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steersman.data import ContrastivePairs
from steersman.errors import InputError
from steersman.evaluation.items import Item, Prompt
from steersman.evaluation.judges import Ask, Judge, Mentions
from steersman.evaluation.recipes import chosen, recipes
from steersman.evaluation.sources import Given, file_in, located, read_records
from steersman.evaluation.splits import drawn, part_of, without
from steersman.evaluation.task import Split, Task

WHAT = "sentences about concepts: CSV, JSON or parquet with 'concept' and 'sentence'"
TEXT, CONCEPT = ("sentence", "text", "statement"), ("concept", "noun", "word", "label")
OPENING = "Once upon a time"
RECIPES = recipes(100, 100)


@dataclass(frozen=True, eq=False)
class Concept(Task):
    """Stories from one neutral opening, and how many of them hold the concept.

    The opening says nothing, so all splits share it, and the noise of the draws differs; what is
    fitted on are sentences, none of which is ever a prompt.

    Args:
        concept: which concept.
        sentences: pairs of a concept and a sentence.
        opening: what every story begins with.
    """

    concept: str = ""
    sentences: tuple[tuple[str, str], ...] = ()
    opening: str = OPENING

    def items(self, split: Split, seed: int, count: int | None) -> tuple[Item, ...]:
        """The same opening again and again."""
        if count is None or count < 1:
            raise InputError("stories have no end: say how many, at least 1, with count.")
        return tuple(
            Prompt(f"{split} {seed} {i}", self.opening, {"concept": self.concept})
            for i in range(count)
        )

    def pairs(self, seed: int, count: int) -> ContrastivePairs:
        """Sentences about the concept against sentences about others, of the fitting split."""
        pool = [(c, s) for c, s in self.sentences if part_of(s) == "fit"]
        about = [sentence for concept, sentence in pool if concept == self.concept]
        others = [sentence for concept, sentence in pool if concept != self.concept]
        return ContrastivePairs(
            drawn(about, f"sentences about {self.concept}", seed, count),
            drawn(others, f"sentences about anything but {self.concept}", seed, count),
            paired=False,
        )


def concepts(
    data: Given,
    concept: str,
    *,
    recipe: str | None = None,
    judges: Sequence[Judge] | None = None,
    columns: Mapping[str, str] | None = None,
    opening: str = OPENING,
) -> Concept:
    """The task on a file of sentences.

    Args:
        data: a file or folder.
        concept: which of its concepts.
        recipe: "alqr" or "plain".
        judges: who judges; by default whether the word occurs.
        columns: what your columns are called -> what they are called here.
        opening: what every story begins with.

    Raises:
        InputError: the data cannot be used, or hold no such concept; names what they hold.
        UnknownNameError: no such recipe.
    """
    names = ("*sentences*.csv", "*.csv", "*.json*", "**/*.parquet")
    records = read_records(file_in(located(data, WHAT), names, WHAT), columns)
    found = [
        (records.text(row, CONCEPT, "a concept"), records.text(row, TEXT, "a sentence"))
        for row in records.rows
    ]
    there = list(dict.fromkeys(name for name, _ in found))
    if concept not in there:
        raise InputError(
            f"{records.path.name} has no sentences about {concept!r}; it has "
            f"{', '.join(there[:30])}."
        )
    own = default_judges(concept) if judges is None else tuple(judges)
    return Concept(
        name=f"concepts:{concept}",
        asked=f"bring {concept} into a story",
        headline=own[0].scores[0] if own else concept,
        rises=True,
        recipe=chosen(RECIPES, recipe),
        judges=own,
        data=records.settings() | {"opening": opening},
        concept=concept,
        sentences=tuple(without(found, [], lambda one: one[1])),
        opening=opening,
    )


def asks_of(concept: str) -> tuple[Ask, ...]:
    """What is asked of a language model that judges a story.

    Args:
        concept: which concept.
    """
    template = (
        "Text: {answer}\n\nIs this text about the following concept, or does it mention it: "
        "{concept}? Answer yes or no:"
    )
    return (Ask(f"{concept} in the story", template),)


def default_judges(concept: str) -> tuple[Judge, ...]:
    """Whether the word occurs.

    Args:
        concept: which concept.
    """
    return (Mentions(f"{concept} in the story", (concept,)),)
