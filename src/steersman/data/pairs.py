"""Contrastive pairs: examples of what is desired and of what is not."""

import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steersman.data.columns import read_columns
from steersman.data.examples import Example, as_example, plain, require_one_kind
from steersman.data.files import Table, numbered, read_table
from steersman.data.records import read_side, read_sides, require_difference
from steersman.errors import InputError


@dataclass(frozen=True, init=False)
class ContrastivePairs:
    """Examples that differ in the behaviour to be steered, and, best of all, in nothing else.

    An example is a text, or a conversation (a list of `{"role", "content"}` messages) that the
    model's chat template renders later. Rows are counted from 0; lines of a file from 1.

    Attributes:
        desired: what the model should be more like.
        undesired: what it should be less like.
        paired: whether `desired[i]` is the counterpart of `undesired[i]`.
    """

    desired: tuple[Example, ...]
    undesired: tuple[Example, ...]
    paired: bool

    def __init__(
        self,
        desired: Sequence[Example],
        undesired: Sequence[Example],
        paired: bool | None = None,
    ) -> None:
        """Two lists of examples.

        Args:
            desired: at least one example.
            undesired: at least one example; there may be more or fewer than desired ones.
            paired: whether example `i` of one belongs to example `i` of the other. None: where
                there are equally many.

        Raises:
            InputError: a side is empty, or one text instead of a list; an example is empty or no
                text; both sides are the same; texts and conversations are mixed; `paired` and
                the numbers differ.
        """
        sides = [_checked_side("desired", desired), _checked_side("undesired", undesired)]
        equal = len(sides[0]) == len(sides[1])
        if paired and not equal:
            raise InputError(
                f"{len(sides[0])} desired and {len(sides[1])} undesired examples cannot be paired: "
                "give as many of each, or paired=False."
            )
        paired = equal if paired is None else paired
        _require_contrast(sides[0], sides[1], paired)
        require_one_kind(sides[0], sides[1])
        object.__setattr__(self, "desired", sides[0])
        object.__setattr__(self, "undesired", sides[1])
        object.__setattr__(self, "paired", paired)

    @classmethod
    def from_tuples(cls, pairs: Iterable[Sequence[Any]]) -> "ContrastivePairs":
        """From `(desired, undesired)` tuples.

        Raises:
            InputError: no pairs, or one that cannot be used; names its row.
        """
        return _read(numbered(list(pairs)), None, chat=False)

    @classmethod
    def from_records(
        cls,
        records: Iterable[Mapping[str, Any]] | Mapping[str, Any],
        *,
        columns: Mapping[str, str] | None = None,
        chat: bool = False,
    ) -> "ContrastivePairs":
        """From dictionaries, of whichever of these shapes.

            {"desired", "undesired"}   also positive/negative, pos/neg, chosen/rejected
            {"question", "matching", "not_matching"}   an answer of each kind; also prompt, and
                answer_matching_behavior/answer_not_matching_behavior, correct/incorrect,
                best_answer/best_incorrect_answer
            {"text", "label"}   unpaired: label 1 is desired, 0 is not; also prompt, completion
            {"desired": [...], "undesired": [...]}   columns, perhaps of different lengths

        A data frame comes in as `frame.to_dict("records")`.

        Args:
            records: the records, or one dictionary of columns.
            columns: what yours are called -> what they are called here, e.g.
                `{"comment": "text", "toxic": "label"}`; upper case and spaces do not matter.
            chat: make a text question the user's turn and its answer the assistant's, as an
                instruction-tuned model wants it. Otherwise the answer is put behind the question.

        Raises:
            InputError: no records, an unknown shape, or a record that cannot be used; names its
                row and what to do.
        """
        table: Table = records if isinstance(records, Mapping) else numbered(list(records))
        return _read(table, columns, chat=chat)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        columns: Mapping[str, str] | None = None,
        chat: bool = False,
    ) -> "ContrastivePairs":
        """From a file with both sides: CSV, TSV, JSON, JSON lines or parquet.

        Args:
            path: its rows are records as in `from_records`, or two-element lists.
            columns: as in `from_records`.
            chat: as in `from_records`.

        Raises:
            InputError: the file is missing, does not parse, or has a row that cannot be used;
                names the line or row.
            MissingExtraError: a parquet file, and pyarrow is not installed.
        """
        return _read(read_table(path), columns, chat=chat)

    @classmethod
    def load_sides(
        cls, desired: str | Path, undesired: str | Path, *, column: str | None = None
    ) -> "ContrastivePairs":
        """From a file for each side, which are not paired.

        Args:
            desired: texts, conversations, or records with one text column; a `.txt` file has one
                text a line.
            undesired: the same for the other side.
            column: the column that holds the example; found by its name where it is a usual one.

        Raises:
            InputError: as for `load`.
            MissingExtraError: as for `load`.
        """
        return cls(_side_in(desired, column), _side_in(undesired, column), paired=False)

    def swapped(self) -> "ContrastivePairs":
        """The same examples with what is desired and undesired exchanged."""
        return ContrastivePairs(self.undesired, self.desired, self.paired)

    def split(
        self, fraction: float, seed: int = 0
    ) -> tuple["ContrastivePairs", "ContrastivePairs"]:
        """Two parts without a common row, drawn at random; pairs stay together.

        Args:
            fraction: the share of the first part, between 0 and 1.
            seed: the same seed gives the same parts.

        Returns:
            The first part and the rest.

        Raises:
            InputError: `fraction` is not between 0 and 1, or a part would be without examples.
        """
        if not 0 < fraction < 1:
            raise InputError(f"fraction is {fraction}; it must be between 0 and 1.")
        mine = _drawn("desired", len(self.desired), fraction, seed)
        theirs = mine
        if not self.paired:
            theirs = _drawn("undesired", len(self.undesired), fraction, seed)
        first, rest = (
            ContrastivePairs(
                [self.desired[i] for i in d], [self.undesired[i] for i in u], self.paired
            )
            for d, u in zip(mine, theirs, strict=True)
        )
        return first, rest

    def fingerprint(self) -> str:
        """SHA-256 of all examples in their order, 64 hexadecimal digits."""
        content = {
            "desired": [plain(example) for example in self.desired],
            "undesired": [plain(example) for example in self.undesired],
            "paired": self.paired,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def __str__(self) -> str:
        """How many there are, and of what."""
        kind = "texts" if isinstance(self.desired[0], str) else "conversations"
        if self.paired:
            return f"{len(self.desired)} pairs of {kind}"
        return f"{len(self.desired)} desired and {len(self.undesired)} undesired {kind}, unpaired"


def _read(table: Table, columns: Mapping[str, str] | None, *, chat: bool) -> ContrastivePairs:
    if isinstance(table, Mapping):
        return ContrastivePairs(*read_columns(table, columns, chat=chat))
    return ContrastivePairs(*read_sides(table, columns, chat=chat))


def _side_in(path: str | Path, column: str | None) -> list[Example]:
    table = read_table(path)
    if isinstance(table, Mapping):
        raise InputError(f"{Path(path).name} is an object; one side is a list of examples.")
    return read_side(table, column)


def _checked_side(name: str, examples: Sequence[Example]) -> tuple[Example, ...]:
    if isinstance(examples, str):
        raise InputError(f"{name} is one text; give a list of examples.")
    if not len(examples):
        raise InputError(f"there is no {name} example: give at least one of each side.")
    return tuple(as_example(example, f"{name} example {i}") for i, example in enumerate(examples))


def _require_contrast(
    desired: tuple[Example, ...], undesired: tuple[Example, ...], paired: bool
) -> None:
    if paired:
        for i, (one, other) in enumerate(zip(desired, undesired, strict=True)):
            require_difference(one, other, f"row {i}")
    elif sorted(map(repr, desired)) == sorted(map(repr, undesired)):
        raise InputError("both sides hold the same examples: there is nothing to contrast.")


def _drawn(name: str, count: int, fraction: float, seed: int) -> tuple[list[int], list[int]]:
    size = round(fraction * count)
    if not 0 < size < count:
        raise InputError(
            f"{count} {name} examples cannot be split at {fraction}: a part would have none."
        )
    order = random.Random(seed).sample(range(count), count)
    return sorted(order[:size]), sorted(order[size:])
