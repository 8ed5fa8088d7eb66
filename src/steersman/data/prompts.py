"""Prompts from a file, by the domain that they are from."""

from collections.abc import Mapping
from pathlib import Path

from steersman.data.examples import Example, as_example
from steersman.data.files import read_table
from steersman.data.records import read_side
from steersman.errors import InputError

DOMAIN_KEY = "domain"
"""What the column is called that names a prompt's domain."""
ONE_DOMAIN = "prompts"
"""What the domain is called where no column names one."""


def read_prompts(path: str | Path) -> dict[str, tuple[Example, ...]]:
    """Read texts or conversations, by domain where the file tells it.

    Args:
        path: a file as in `ContrastivePairs.load`: one text a line, records with a text and perhaps
            a `domain`, or a JSON object that holds a list for each domain.

    Returns:
        The prompts of each domain, in the order of the file.

    Raises:
        InputError: the file is missing, does not parse, or has a row that cannot be used.
        MissingExtraError: a parquet file, and pyarrow is not installed.
    """
    table = read_table(path)
    if isinstance(table, Mapping):
        return {str(name): _listed(str(name), rows) for name, rows in table.items()}
    found: dict[str, list[Example]] = {}
    for row, example in zip(table, read_side(table, None), strict=True):
        named = row.value.get(DOMAIN_KEY) if isinstance(row.value, Mapping) else None
        found.setdefault(ONE_DOMAIN if named is None else str(named), []).append(example)
    return {name: tuple(examples) for name, examples in found.items()}


def _listed(name: str, rows: object) -> tuple[Example, ...]:
    if not isinstance(rows, list):
        raise InputError(f"domain {name!r} holds no list of prompts.")
    return tuple(as_example(value, f"{name} {i}") for i, value in enumerate(rows))
