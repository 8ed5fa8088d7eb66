"""Rows of a file, each with the place it came from, so that an error can name it."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from steersman.errors import InputError, MissingExtraError


class Row(NamedTuple):
    """One row: `where` it stands, for errors, and what it holds."""

    where: str
    value: object


Table = list[Row] | Mapping[str, object]
"""Rows, or columns by name."""


def numbered(values: Sequence[object], name: str = "row") -> list[Row]:
    """Rows of values in memory, counted from 0."""
    return [Row(f"{name} {i}", value) for i, value in enumerate(values)]


def read_table(path: str | Path) -> Table:
    """Read a file of examples by its ending.

    Args:
        path: `.csv`, `.tsv`, `.json`, `.jsonl`, `.parquet`, or `.txt` with one text a line; all of
            them UTF-8. A CSV may be separated by commas, semicolons or tabs.

    Returns:
        The rows; or the columns, where a JSON file is an object of lists.

    Raises:
        InputError: no such file, an unknown ending, or content that does not parse; names the line.
        MissingExtraError: a parquet file, and pyarrow is not installed.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"{path.name} has the ending {path.suffix!r}; examples are read from "
            f"{', '.join(_READERS)}."
        )
    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r}: check the path.")
    table = reader(path)
    if not table:
        raise InputError(f"{path.name} has no rows: give at least one example of each side.")
    return table


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path.name} is not UTF-8 (byte {error.start}): save it again as UTF-8."
        ) from error


def _read_txt(path: Path) -> Table:
    lines = _text(path).splitlines()
    return [Row(f"{path.name} line {i}", line) for i, line in enumerate(lines, 1) if line.strip()]


def _read_csv(path: Path) -> Table:
    text = _text(path)
    header = text.split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[Row] = []
    finished = 1
    try:
        for record in reader:
            breaks = sum(str(cell).count("\n") for cell in record.values())
            where = f"{path.name} line {reader.line_num - breaks}"
            if None in record or None in record.values():
                raise InputError(
                    f"{where} has not as many cells as the header has columns "
                    f"({', '.join(reader.fieldnames or ())}): put quotes around cells that hold "
                    f"{separator!r}."
                )
            rows.append(Row(where, {name: _cell(cell) for name, cell in record.items()}))
            finished = reader.line_num
    except csv.Error as error:
        raise InputError(f"{path.name} line {finished + 1} is no CSV: {error}.") from error
    return rows


def _cell(cell: str) -> object:
    """A conversation can only be put into a CSV as JSON."""
    if cell.lstrip().startswith("[{") and '"role"' in cell:
        try:
            return json.loads(cell)
        except json.JSONDecodeError:
            return cell
    return cell


def _read_jsonl(path: Path) -> Table:
    # Not splitlines: JSON strings may hold characters such as U+2028, which it would split at.
    lines = enumerate(_text(path).split("\n"), 1)
    return [Row(f"{path.name} line {i}", _json(line, path, i)) for i, line in lines if line.strip()]


def _json(text: str, path: Path, line: int = 1) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path.name} line {line + error.lineno - 1} is no JSON: {error.msg} at column "
            f"{error.colno}."
        ) from error


def _read_json(path: Path) -> Table:
    text = _text(path)
    if not text.strip():
        return []
    value = _json(text, path)
    if isinstance(value, dict):
        lists = [entry for entry in value.values() if isinstance(entry, list)]
        if len(lists) != 1:
            return value
        value = lists[0]  # a list of rows beside a name or a version
    if not isinstance(value, list):
        raise InputError(f"{path.name} holds one {type(value).__name__}; a list of rows is needed.")
    return numbered(value, f"{path.name} row")


def _read_parquet(path: Path) -> Table:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as missing:
        raise MissingExtraError("pyarrow", "data", "Reading parquet files") from missing
    try:
        records = parquet.read_table(path).to_pylist()
    except ArrowException as error:
        raise InputError(f"{path.name} is no parquet file: {error}.") from error
    return numbered(records, f"{path.name} row")


_READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
    ".txt": _read_txt,
}
