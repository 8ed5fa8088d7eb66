"""Rows or columns of contexts and what follows them."""

from collections.abc import Mapping

from steersman.data.examples import Example, as_example
from steersman.data.files import Row, Table
from steersman.data.keys import (
    CONTINUATION_KEYS,
    PAIR_KEYS,
    entry,
    first_in,
    listed,
    renamed,
    sides_in,
)
from steersman.data.records import require_difference
from steersman.errors import InputError

Rows = tuple[list[Example], list[Example], list[Example]]
"""Desired contexts, undesired contexts and continuations, one of each a row."""


def holds_continuations(table: Table) -> bool:
    """Whether the first row, or the columns, have two contexts and a continuation."""
    where = Row("the object", table) if isinstance(table, Mapping) else table[0]
    if not isinstance(where.value, Mapping):
        return False
    record = renamed(where, None)
    return sides_in(record) is not None and first_in(record, CONTINUATION_KEYS) is not None


def read_aligned_rows(table: Table, columns: Mapping[str, str] | None) -> Rows:
    """Read contexts and continuations.

    Args:
        table: records with two contexts and a continuation, or columns of these.
        columns: what yours are called -> what they are called here.

    Raises:
        InputError: no rows, an unknown shape, or a row that does not fit; names the row.
    """
    if isinstance(table, Mapping):
        return _of_columns(renamed(Row("the object", table), columns))
    if not table:
        raise InputError("there are no rows: give at least one.")
    names = _names(table[0].where, renamed(table[0], columns))
    found: Rows = ([], [], [])
    for row in table:
        record = renamed(row, columns)
        for side, name in zip(found, names, strict=True):
            side.append(as_example(entry(row, record, name), f"{row.where}, {name}"))
        require_difference(found[0][-1], found[1][-1], row.where)
    return found


def _of_columns(record: Mapping[str, object]) -> Rows:
    found: Rows = ([], [], [])
    for side, name in zip(found, _names("the object", record), strict=True):
        values = record[name]
        if not isinstance(values, list | tuple):
            raise InputError(f"{name!r} of the object is no list: give one entry a row.")
        side.extend(as_example(value, f"{name} {i}") for i, value in enumerate(values))
    return found


def _names(where: str, record: Mapping[str, object]) -> tuple[str, str, str]:
    sides, continuation = sides_in(record), first_in(record, CONTINUATION_KEYS)
    if sides is None or continuation is None:
        raise InputError(
            f"{where} has the keys {listed(record)}; aligned pairs need two contexts, such as "
            f"{'/'.join(PAIR_KEYS[0])}, and a 'continuation'. Say which of yours are which with "
            "columns={'yours': 'continuation'}."
        )
    return (*sides, continuation)
