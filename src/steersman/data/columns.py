"""Columns of examples: parallel lists, or two sides of different lengths."""

from collections.abc import Iterable, Mapping
from typing import TypeGuard

from steersman.data.examples import as_example
from steersman.data.files import Row
from steersman.data.keys import QUESTION_KEYS, first_in, renamed, sides_in, unknown_shape
from steersman.data.records import Sides, read_sides
from steersman.errors import InputError


def read_columns(
    table: Mapping[str, object], columns: Mapping[str, str] | None, *, chat: bool
) -> Sides:
    """Read both sides from columns by name.

    Args:
        table: name -> list; entries that are no lists are left aside.
        columns: what your columns are called -> what they are called here.
        chat: as in `read_sides`.

    Returns:
        Pairs where the lists are equally long; else two unpaired sides, which then must be examples
        of their own and not answers to a question.

    Raises:
        InputError: no two sides, different lengths that cannot be, or an entry that cannot be used.
    """
    record = renamed(Row("the object", table), columns)
    lists = {name: list(value) for name, value in record.items() if _is_list(value)}
    sizes = {name: len(values) for name, values in lists.items()}
    if not lists:
        raise unknown_shape("the object", record)
    if len(set(sizes.values())) == 1:
        rows = zip(*lists.values(), strict=True)
        records = [dict(zip(lists, row, strict=True)) for row in rows]
        return read_sides([Row(f"row {i}", one) for i, one in enumerate(records)], None, chat=chat)
    names = sides_in(lists)
    if names is None or first_in(lists, QUESTION_KEYS):
        raise InputError(f"the columns have different lengths {sizes}: make them equal.")
    desired, undesired = (
        [as_example(value, f"{name} {i}") for i, value in enumerate(lists[name])] for name in names
    )
    return Sides(desired, undesired, paired=False)


def _is_list(value: object) -> TypeGuard[Iterable[object]]:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
