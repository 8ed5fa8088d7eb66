"""Rows of any of the shapes that people keep contrastive examples in, read into two sides."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from steersman.data.examples import Example, as_example, joined
from steersman.data.files import Row
from steersman.data.keys import (
    QUESTION_KEYS,
    TEXT_KEYS,
    entry,
    first_in,
    known_sides,
    listed,
    renamed,
    sides_in,
    unknown_shape,
)
from steersman.errors import InputError

_DESIRED_LABELS = frozenset({"1", "1.0", "true", "yes", "positive", "pos", "desired", "matching"})
_UNDESIRED_LABELS = frozenset(
    {"0", "0.0", "-1", "-1.0", "false", "no", "negative", "neg", "undesired", "not_matching"}
)


class Sides(NamedTuple):
    """Desired and undesired examples, and whether they belong together row by row."""

    desired: list[Example]
    undesired: list[Example]
    paired: bool


def read_sides(rows: Sequence[Row], columns: Mapping[str, str] | None, *, chat: bool) -> Sides:
    """Read both sides from rows, whose shape is that of the first one.

    Args:
        rows: records, or `(desired, undesired)` tuples.
        columns: what your columns are called -> what they are called here.
        chat: make a text question the user's turn and its answer the assistant's.

    Raises:
        InputError: no rows, an unknown shape, or a row that does not fit; names the row.
    """
    if not rows:
        raise InputError("there are no rows: give at least one example of each side.")
    if not isinstance(rows[0].value, Mapping):
        return _paired(_of_tuple(row) for row in rows)
    first = renamed(rows[0], columns)
    names = sides_in(first)
    if names is not None:
        return _paired(_of_record(row, renamed(row, columns), names, chat=chat) for row in rows)
    text = first_in(first, TEXT_KEYS)
    if text is None or "label" not in first:
        raise unknown_shape(rows[0].where, first)
    sides = Sides([], [], paired=False)
    for row in rows:
        example, wanted = _of_labelled(row, renamed(row, columns), text, chat=chat)
        (sides.desired if wanted else sides.undesired).append(example)
    return sides


def read_side(rows: Sequence[Row], column: str | None) -> list[Example]:
    """Read one side: texts, conversations, or records with one text column.

    Args:
        rows: the rows.
        column: which column holds the example; None looks for one of `TEXT_KEYS`.

    Raises:
        InputError: a row that has no such text; names the row.
    """
    return [_of_one_side(row, column) for row in rows]


def require_difference(desired: Example, undesired: Example, where: str) -> None:
    """Raise `InputError` where both sides of a pair are the same."""
    if desired == undesired:
        raise InputError(
            f"{where}: the desired and the undesired example are the same, so they have no "
            "contrast. Correct one of them or leave the row out."
        )


def _paired(pairs: Iterable[tuple[Example, Example]]) -> Sides:
    desired, undesired = zip(*pairs, strict=True)
    return Sides(list(desired), list(undesired), paired=True)


def _of_tuple(row: Row) -> tuple[Example, Example]:
    value = row.value
    if isinstance(value, str):
        raise InputError(
            f"{row.where} is one text, not a pair. Where each side has a file of its own, use "
            "ContrastivePairs.load_sides(desired_file, undesired_file)."
        )
    if not isinstance(value, list | tuple) or len(value) != 2:
        size = f" with {len(value)} entries" if isinstance(value, list | tuple) else ""
        raise InputError(
            f"{row.where} is of type {type(value).__name__}{size}; expected (desired, undesired), "
            f"or a record with one of these pairs of keys: {known_sides()}."
        )
    desired = as_example(value[0], f"{row.where}, desired")
    undesired = as_example(value[1], f"{row.where}, undesired")
    require_difference(desired, undesired, row.where)
    return desired, undesired


def _of_record(
    row: Row, record: Mapping[str, object], names: tuple[str, str], *, chat: bool
) -> tuple[Example, Example]:
    desired, undesired = (
        as_example(entry(row, record, name), f"{row.where}, {name}") for name in names
    )
    key = first_in(record, QUESTION_KEYS)
    if key is not None:
        question = as_example(record[key], f"{row.where}, {key}")
        desired = joined(question, desired, chat=chat)
        undesired = joined(question, undesired, chat=chat)
    require_difference(desired, undesired, row.where)
    return desired, undesired


def _of_labelled(
    row: Row, record: Mapping[str, object], text: str, *, chat: bool
) -> tuple[Example, bool]:
    example = as_example(entry(row, record, text), f"{row.where}, {text}")
    if "completion" in record:
        completion = as_example(record["completion"], f"{row.where}, completion")
        example = joined(example, completion, chat=chat)
    return example, _is_desired(entry(row, record, "label"), row.where)


def _is_desired(label: object, where: str) -> bool:
    word = str(label).strip().lower()
    if word in _DESIRED_LABELS:
        return True
    if word in _UNDESIRED_LABELS:
        return False
    raise InputError(
        f"{where} has the label {label!r}; desired rows are labelled 1, true, positive or desired, "
        "and undesired ones 0, -1, false, negative or undesired."
    )


def _of_one_side(row: Row, column: str | None) -> Example:
    if not isinstance(row.value, Mapping):
        return as_example(row.value, row.where)
    record = renamed(row, None if column is None else {column: TEXT_KEYS[0]})
    key = first_in(record, TEXT_KEYS)
    if key is None:
        raise InputError(
            f"{row.where} has the columns {listed(record)}; say which one holds the example with "
            "column=..."
        )
    return as_example(record[key], f"{row.where}, {column or key}")
