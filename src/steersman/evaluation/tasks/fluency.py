"""Fluency: how likely the bare model finds what was written, how varied, how repetitive."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steersman.data import ContrastivePairs
from steersman.errors import InputError
from steersman.evaluation.items import Item, Prompt
from steersman.evaluation.judges import Judge
from steersman.evaluation.recipes import chosen, recipes
from steersman.evaluation.sources import Given, file_in, located, read_records
from steersman.evaluation.splits import drawn, part_of, without
from steersman.evaluation.task import Split, Task

WHAT = "texts to go on from: JSON lines, CSV or parquet with 'text' or 'prompt'"
TEXT = ("text", "prompt.text", "prompt", "sentence", "instruction", "question")
PERPLEXITY = "perplexity"
RECIPES = recipes(40, 100)


@dataclass(frozen=True, eq=False)
class Fluency(Task):
    """Continuations of any texts; what counts is on the panel of side effects.

    Args:
        texts: what to go on from.
    """

    texts: tuple[str, ...] = ()

    def items(self, split: Split, seed: int, count: int | None) -> tuple[Item, ...]:
        """Texts of a split."""
        pool = [text for text in self.texts if split in ("all", part_of(text))]
        some = drawn(pool, f"{split} prompts of {self.name}", seed, count)
        return tuple(Prompt(text, text) for text in some)

    def pairs(self, seed: int, count: int) -> ContrastivePairs:
        """None: fluency is what a steering should leave alone.

        Raises:
            InputError: always.
        """
        raise InputError("fluency is a side effect to be measured: there is nothing to fit on.")


def fluency(
    data: Given,
    *,
    recipe: str | None = None,
    judges: Sequence[Judge] = (),
    columns: Mapping[str, str] | None = None,
) -> Fluency:
    """The task on a file of texts.

    Args:
        data: a file or folder.
        recipe: "alqr" or "plain".
        judges: further judges, such as the perplexity under another model.
        columns: what your columns are called -> what they are called here.

    Raises:
        InputError: the data cannot be used; names the file and the field.
        UnknownNameError: no such recipe.
    """
    names = ("*.jsonl", "*.csv", "**/*.parquet")
    records = read_records(file_in(located(data, WHAT), names, WHAT), columns)
    texts = [records.text(row, TEXT) for row in records.rows]
    return Fluency(
        name="fluency",
        asked="write as fluently as before",
        headline=PERPLEXITY,
        rises=False,
        recipe=chosen(RECIPES, recipe),
        judges=tuple(judges),
        data=records.settings(),
        texts=tuple(without(texts, [], str)),
    )
