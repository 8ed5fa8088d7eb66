"""Data sets that people have: files and folders by path, or by their names on the hub."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from steersman.data.files import Row, read_table
from steersman.errors import InputError

Given = str | Path
"""A path, or `owner/name` of a data set on the hub."""

_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_ENDINGS = ("jsonl", "json", "csv", "tsv", "parquet", "txt")
_MISSING = object()


@dataclass(frozen=True)
class Records:
    """The rows of one file, whose fields are found or the error says where they are not.

    Args:
        path: the file.
        rows: each a mapping, with the place it came from.
        columns: what the file calls a column -> what it is called here.
    """

    path: Path
    rows: tuple[Row, ...]
    columns: Mapping[str, str]

    def value(self, row: Row, names: Sequence[str], form: str) -> Any:
        """The first of these fields that a row has; `a.b` is `b` within `a`.

        Args:
            row: the row.
            names: what the field may be called.
            form: what is expected there, for the error.

        Raises:
            InputError: the row has none of them; names the file, the line and the fields.
        """
        found = self.optional(row, names)
        if found is None:
            record = row.value if isinstance(row.value, Mapping) else {}
            raise InputError(
                f"{row.where} has no {' or '.join(map(repr, names))}; expected {form}. Its columns "
                f"are {', '.join(map(repr, record)) or 'none'}; where yours have other names, say "
                f"which is which: columns={{'yours': {names[0]!r}}}."
            )
        return found

    def text(self, row: Row, names: Sequence[str], form: str = "a text") -> str:
        """The same, which must be a text that is not empty.

        Raises:
            InputError: it is not.
        """
        found = self.value(row, names, form)
        if not isinstance(found, str) or not found.strip():
            raise InputError(f"{row.where} has {found!r} for {names[0]!r}; expected {form}.")
        return found

    def optional(self, row: Row, names: Sequence[str]) -> Any:
        """The first of these fields that a row has and that is not null; None where there is none.

        Args:
            row: the row.
            names: what the field may be called.
        """
        record = row.value
        assert isinstance(record, Mapping)
        for name in names:
            theirs = [key for key, ours in self.columns.items() if ours == name]
            for key in (*theirs, name):
                found = _within(record, key)
                if found is not _MISSING and found is not None:
                    return found
        return None

    def settings(self) -> dict[str, Any]:
        """The file's name and what is in it, by a hash."""
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        return {"file": self.path.name, "sha256": digest} | (
            {"columns": dict(self.columns)} if self.columns else {}
        )


def read_records(path: Path, columns: Mapping[str, str] | None = None) -> Records:
    """Read a file of records: JSON lines, JSON, CSV or parquet.

    Args:
        path: the file.
        columns: what the file calls a column -> what it is called here.

    Raises:
        InputError: no such file, another ending, content that does not parse, or rows that are no
            records.
        MissingExtraError: a parquet file, and pyarrow is not installed.
    """
    table = read_table(path)
    if isinstance(table, Mapping):
        raise InputError(f"{path.name} is one JSON object; expected a list of records.")
    for row in table:
        if not isinstance(row.value, Mapping):
            raise InputError(f"{row.where} is {row.value!r:.60}; expected a record with columns.")
    for theirs in columns or {}:
        first = table[0].value
        if isinstance(first, Mapping) and _within(first, theirs) is _MISSING:
            raise InputError(
                f"{table[0].where} has no column {theirs!r}; its columns are "
                f"{', '.join(map(repr, first))}."
            )
    return Records(path, tuple(table), dict(columns or {}))


def located(given: Given, what: str) -> Path:
    """A file or folder by its path, or a data set of the hub, downloaded.

    Args:
        given: a path, or `owner/name`.
        what: what is expected there, for errors.

    Raises:
        InputError: there is no such file or folder, and no data set of that name.
    """
    path = Path(given).expanduser()
    if path.exists():
        return path
    if not _NAME.fullmatch(str(given)):
        raise InputError(
            f"there is no file or folder {str(given)!r}; expected {what}, or the name of a "
            "data set on the Hugging Face hub, as owner/name."
        )
    try:
        patterns = [f"**.{ending}" for ending in _ENDINGS]
        return Path(snapshot_download(str(given), repo_type="dataset", allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        first = str(error).strip().split("\n", 1)[0]
        raise InputError(
            f"there is no file or folder {str(given)!r} here, and it cannot be downloaded as a "
            f"data set of the hub: {first} Expected {what}."
        ) from error


def file_in(path: Path, patterns: Iterable[str], what: str) -> Path:
    """The file that is meant: the path itself, or the first in a folder that matches.

    Args:
        path: a file or a folder.
        patterns: of file names in the folder, the best first.
        what: what is expected, for the error.

    Raises:
        InputError: the folder holds none.
    """
    if path.is_file():
        return path
    wanted = list(patterns)
    for pattern in wanted:
        found = sorted(one for one in path.glob(pattern) if one.is_file())
        if found:
            return found[0]
    raise InputError(f"{path} holds none of {', '.join(wanted)}; expected {what}.")


def _within(record: Mapping[Any, Any], name: str) -> Any:
    """`record[name]` in any case, or of `a.b` what is under `b` in `record["a"]`."""
    wanted = _plain(name)
    for key, value in record.items():
        if _plain(str(key)) == wanted:
            return value
    outer, dot, inner = name.partition(".")
    if dot:
        found = _within(record, outer)
        if isinstance(found, Mapping):
            return _within(found, inner)
    return _MISSING


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")
