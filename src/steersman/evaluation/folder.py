"""The folder of an evaluation: written batch by batch, so that it can be left and taken up again.

settings.json   what decides every sample; a folder made with others is refused
samples.jsonl   one sample a line, appended a whole batch at a time
summary.json    the scores; the same bytes however often the run was interrupted
run.json        when, how long, on what
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from steersman.errors import InputError, MismatchError
from steersman.files import write_whole
from steersman.jsonable import plain

try:
    import fcntl
except ImportError:  # where there is none, nobody is kept from writing twice
    fcntl = None  # type: ignore[assignment]

SETTINGS, SAMPLES = "settings.json", "samples.jsonl"
SUMMARY, RUN, PAGE = "summary.json", "run.json", "report.html"
_LOCK = ".lock"

Row = dict[str, Any]
"""One sample as it is written down."""


class Folder:
    """Where an evaluation is written, or nowhere.

    Args:
        path: the folder; None keeps everything in memory.
        settings: what decides every sample; kept as JSON has it.

    Raises:
        InputError: it cannot be written, or holds other things.
        MismatchError: it holds an evaluation with other settings; names what differs.
    """

    def __init__(self, path: str | Path | None, settings: Mapping[str, Any]) -> None:
        """Take the folder, or make it."""
        self.path = None if path is None else Path(path)
        self.rows: list[Row] = []
        self.settings: dict[str, Any] = plain(settings)
        self._lock: IO[bytes] | None = None
        if self.path is None:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if (self.path / SETTINGS).exists():
                _require_same(_read_json(self.path / SETTINGS), self.settings, self.path)
            elif others := sorted(p.name for p in self.path.iterdir() if p.name[0] != "."):
                raise InputError(
                    f"{self.path} holds {', '.join(others[:4])} and no evaluation: choose another "
                    "folder, or an empty one."
                )
            else:
                write_json(self.settings, self.path / SETTINGS)
            self._lock = _locked(self.path)
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror or error}.") from error

    def resume(self, batches: Sequence[Sequence[Mapping[str, Any]]]) -> int:
        """Read the batches that are whole, and cut off what is not.

        Args:
            batches: how the rows of each batch begin.

        Returns:
            How many batches are there already; their rows are in `rows`.

        Raises:
            MismatchError: a line is of another sample than it should be.
        """
        if self.path is None or not (self.path / SAMPLES).exists():
            return 0
        samples = self.path / SAMPLES
        lines = samples.read_bytes().split(b"\n")[:-1]  # a line without its end is half a line
        whole, start = 0, 0
        for batch in batches:
            if start + len(batch) > len(lines):
                break
            for line, begins in zip(lines[start : start + len(batch)], batch, strict=True):
                self.rows.append(_row_of(line, begins, samples))
            start += len(batch)
            whole += 1
        os.truncate(samples, sum(len(line) + 1 for line in lines[:start]))
        return whole

    def append(self, rows: Sequence[Row]) -> None:
        """Add the rows of one batch.

        Raises:
            InputError: they cannot be written.
        """
        found = [plain(row) for row in rows]
        if self.path is not None:
            text = "".join(_line(row) for row in found)
            try:
                with (self.path / SAMPLES).open("ab") as file:
                    file.write(text.encode("utf-8", "backslashreplace"))
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise InputError(f"cannot write {self.path}: {error.strerror or error}.") from error
        # As they will be read again, so that an interrupted run sums up the same numbers.
        self.rows += [json.loads(_line(row)) for row in found]

    def close(self) -> None:
        """Let another process write here; closing twice does no harm."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON file whole or not at all."""
        if self.path is not None:
            write_json(plain(value), self.path / name)

    def read(self, name: str) -> Any:
        """What is in a JSON file of the folder, or None."""
        if self.path is None or not (self.path / name).exists():
            return None
        return _read_json(self.path / name)


def write_json(value: Any, path: Path) -> None:
    """Write JSON whole or not at all, the same bytes for the same value.

    Raises:
        InputError: it cannot be written.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, indent=2) + "\n"
    write_whole(text.encode("utf-8", "backslashreplace"), path)


def differences(there: Any, here: Any, name: str = "") -> Iterable[str]:
    """What differs between two JSON values, by the names of the fields."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in dict.fromkeys([*there, *here]):
            yield from differences(
                there.get(key), here.get(key), f"{name}.{key}" if name else str(key)
            )
    elif there != here:
        yield f"{name} is {_short(there)} there and {_short(here)} here"


def _locked(path: Path) -> IO[bytes] | None:
    """Hold the folder until the file is closed, or the process is gone.

    Raises:
        InputError: another process holds it.
    """
    if fcntl is None:
        return None
    file = (path / _LOCK).open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise InputError(
            f"another process is writing to {path}: wait for it, or choose another folder."
        ) from error
    return file


def _require_same(there: Any, here: Any, path: Path) -> None:
    found = list(differences(there, here))
    if found:
        raise MismatchError(
            f"{path} holds an evaluation with other settings: {'; '.join(found[:6])}. Choose "
            "another folder, or repeat the settings to go on there."
        )


def _row_of(line: bytes, begins: Mapping[str, Any], path: Path) -> Row:
    try:
        row: Row = json.loads(line)
    except ValueError:
        row = {}
    wanted = plain(begins)
    if not isinstance(row, dict) or any(row.get(key) != wanted[key] for key in wanted):
        raise MismatchError(
            f"{path} holds another sample where {_short(wanted)} should be: it was written with "
            "other data or changed by hand. Choose another folder."
        )
    return row


def _line(row: Row) -> str:
    # Line separators of Unicode are escaped: some readers take them for the end of a line.
    text = json.dumps(row, allow_nan=False, ensure_ascii=False)
    for mark in "\u0085\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text + "\n"


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}.") from error


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
