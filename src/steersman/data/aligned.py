"""Aligned pairs: the same continuations behind a desired and behind an undesired context."""

import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from steersman.data.aligned_rows import read_aligned_rows
from steersman.data.examples import Example, as_example, behind, plain, require_one_kind
from steersman.data.files import Table, numbered, read_table
from steersman.data.pairs import ContrastivePairs
from steersman.data.records import require_difference
from steersman.errors import InputError

Combine = Literal["zip", "product"]


@dataclass(frozen=True, init=False)
class AlignedPairs:
    """What goes on alike behind two contexts, so that its tokens differ by the contexts alone.

    Row `i` is read behind `desired[i]` and behind `undesired[i]`, at the tokens of
    `continuations[i]`. A context is a text or a conversation so far; behind a conversation, or
    where the continuation is a conversation, a text context is the system prompt and a text
    continuation what the assistant says.

    Attributes:
        desired: the context of each row in which the model behaves as it should.
        undesired: the one in which it does not.
        continuations: what follows both.
    """

    desired: tuple[Example, ...]
    undesired: tuple[Example, ...]
    continuations: tuple[Example, ...]

    def __init__(
        self,
        desired: Sequence[Example],
        undesired: Sequence[Example],
        continuations: Sequence[Example],
    ) -> None:
        """Rows, one of each a row.

        Args:
            desired: at least one context.
            undesired: as many.
            continuations: as many.

        Raises:
            InputError: none, or different numbers; a text instead of a list; an entry that is empty
                or neither text nor conversation; both contexts of a row are the same; rows of
                different kinds; or conversations of which some end with the assistant and some do
                not.
        """
        sides = [
            _checked(name, given)
            for name, given in (
                ("desired context", desired),
                ("undesired context", undesired),
                ("continuation", continuations),
            )
        ]
        if len({len(side) for side in sides}) > 1:
            raise InputError(
                f"{len(sides[0])} desired and {len(sides[1])} undesired contexts and "
                f"{len(sides[2])} continuations are no rows: give as many of each, or use "
                "AlignedPairs.of(..., combine='product')."
            )
        for row, (first, second) in enumerate(zip(sides[0], sides[1], strict=True)):
            require_difference(first, second, f"the contexts of row {row}")
        for name, side in zip(("desired", "undesired", "continuations"), sides, strict=True):
            object.__setattr__(self, name, side)
        require_one_kind(*(self._examples(side) for side in sides[:2]))
        self._require_one_end()

    @classmethod
    def of(
        cls,
        *,
        desired: Sequence[Example],
        undesired: Sequence[Example],
        continuations: Sequence[Example],
        combine: Combine,
    ) -> "AlignedPairs":
        """Contexts with continuations: row by row, or each pair of contexts with each of them.

        Args:
            desired: contexts; one stands for as many as there are undesired ones.
            undesired: contexts; `desired[i]` and `undesired[i]` belong together. One stands for as
                many as there are desired ones.
            continuations: texts, or conversations behind a system prompt.
            combine: "zip" is row by row, as many contexts as continuations; "product" every pair of
                contexts with every continuation.

        Raises:
            InputError: as for the rows, or an unknown `combine`.
        """
        if combine not in get_args(Combine):
            raise InputError(f"combine is {combine!r}; choose zip or product.")
        first, second = (
            _checked(f"{name} context", given)
            for name, given in (("desired", desired), ("undesired", undesired))
        )
        count = max(len(first), len(second))
        first, second = (side * count if len(side) == 1 else side for side in (first, second))
        if combine == "zip":
            return cls(first, second, continuations)
        if len(first) != len(second):
            raise InputError(
                f"{len(first)} desired and {len(second)} undesired contexts cannot be paired: give "
                "as many of each, or one of them."
            )
        texts = _checked("continuation", continuations)
        rows = [(d, u, text) for d, u in zip(first, second, strict=True) for text in texts]
        return cls(*(list(side) for side in zip(*rows, strict=True)))

    @classmethod
    def from_records(
        cls,
        records: Iterable[Mapping[str, Any]] | Mapping[str, Any],
        *,
        columns: Mapping[str, str] | None = None,
    ) -> "AlignedPairs":
        """From dictionaries with two contexts and what follows both.

            {"desired", "undesired", "continuation"}   the contexts also under the other names that
                `ContrastivePairs` knows; the continuation also as conversation
            {"desired": [...], "undesired": [...], "continuation": [...]}   columns

        Args:
            records: the records, or one dictionary of columns.
            columns: what yours are called -> what they are called here.

        Raises:
            InputError: no records, an unknown shape, or a record that cannot be used; names the
                row.
        """
        table: Table = records if isinstance(records, Mapping) else numbered(list(records))
        return cls(*read_aligned_rows(table, columns))

    @classmethod
    def load(cls, path: str | Path, *, columns: Mapping[str, str] | None = None) -> "AlignedPairs":
        """From a file: CSV, TSV, JSON, JSON lines or parquet, its rows as in `from_records`.

        Args:
            path: the file.
            columns: as in `from_records`.

        Raises:
            InputError: the file is missing, does not parse, or has a row that cannot be used; names
                the line or row.
            MissingExtraError: a parquet file, and pyarrow is not installed.
        """
        return cls(*read_aligned_rows(read_table(path), columns))

    @property
    def contrastive(self) -> ContrastivePairs:
        """Every row written out: the continuation behind either context."""
        return ContrastivePairs(
            self._examples(self.desired), self._examples(self.undesired), paired=True
        )

    @property
    def openings(self) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """Of texts, what stands before the continuations; None for conversations.

        Behind a conversation the template says where the assistant's answer starts.
        """
        sides = []
        for contexts in (self.desired, self.undesired):
            whole = self._examples(contexts)
            if not all(isinstance(one, str) for one in whole):
                return None
            sides.append(
                tuple(
                    str(one)[: len(str(one)) - len(str(text))]
                    for one, text in zip(whole, self.continuations, strict=True)
                )
            )
        return sides[0], sides[1]

    @property
    def positions(self) -> str:
        """Where the rows are read: "response", the continuation; "last" where none is an answer."""
        return "response" if self._answered(0) else "last"

    @property
    def context_labels(self) -> tuple[int, ...]:
        """A number for each row, the same for rows with the same two contexts."""
        return _labels(zip(self.desired, self.undesired, strict=True))

    @property
    def continuation_labels(self) -> tuple[int, ...]:
        """A number for each row, the same for rows with the same continuation."""
        return _labels(self.continuations)

    def swapped(self) -> "AlignedPairs":
        """The same rows with the desired and the undesired contexts exchanged."""
        return AlignedPairs(self.undesired, self.desired, self.continuations)

    def split(self, fraction: float, seed: int = 0) -> tuple["AlignedPairs", "AlignedPairs"]:
        """Two parts without a common continuation, drawn at random.

        Args:
            fraction: the share of the continuations in the first part, between 0 and 1.
            seed: the same seed gives the same parts.

        Raises:
            InputError: `fraction` is not between 0 and 1, or a part would have no continuation.
        """
        labels = self.continuation_labels
        count = max(labels) + 1
        size = round(fraction * count)
        if not 0 < fraction < 1 or not 0 < size < count:
            raise InputError(
                f"{count} different continuations cannot be split at {fraction}: a part would have "
                "none."
            )
        mine = set(random.Random(seed).sample(range(count), size))
        rows = [[i for i, label in enumerate(labels) if (label in mine) == part] for part in (1, 0)]
        first, rest = (
            AlignedPairs(
                [self.desired[i] for i in some],
                [self.undesired[i] for i in some],
                [self.continuations[i] for i in some],
            )
            for some in rows
        )
        return first, rest

    def fingerprint(self) -> str:
        """SHA-256 of all rows in their order, 64 hexadecimal digits."""
        content = {
            name: [plain(example) for example in getattr(self, name)]
            for name in ("desired", "undesired", "continuations")
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.continuations)

    def __str__(self) -> str:
        """How many there are, and of what."""
        texts, contexts = (
            max(labels) + 1 for labels in (self.continuation_labels, self.context_labels)
        )
        return f"{len(self)} aligned pairs: {texts} continuations, {contexts} pairs of contexts"

    def _examples(self, contexts: Sequence[Example]) -> list[Example]:
        return [behind(c, text) for c, text in zip(contexts, self.continuations, strict=True)]

    def _answered(self, row: int) -> bool:
        whole = behind(self.desired[row], self.continuations[row])
        return isinstance(whole, str) or whole[-1]["role"] == "assistant"

    def _require_one_end(self) -> None:
        for row in range(len(self)):
            if self._answered(row) != self._answered(0):
                raise InputError(
                    f"of rows 0 and {row} one ends with the assistant and one does not: end all "
                    "with the assistant, to read its answers, or none, to read where it starts."
                )


def _checked(name: str, examples: Sequence[Example]) -> tuple[Example, ...]:
    if isinstance(examples, str):
        raise InputError(f"the {name}s are one text; give a list.")
    if not len(examples):
        raise InputError(f"there is no {name}: give at least one.")
    return tuple(as_example(example, f"{name} {i}") for i, example in enumerate(examples))


def _labels(values: Iterable[object]) -> tuple[int, ...]:
    known: dict[str, int] = {}
    return tuple(known.setdefault(repr(value), len(known)) for value in values)
