"""What was measured for one item."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan
from typing import Any

from steersman.evaluation.scores import Score


@dataclass(frozen=True)
class Line:
    """A row of a table.

    Args:
        label: what was run.
        method: the paper's name of the method, where it is the paper's; "" for one that is ours.
        values: by the names of the measures, with standard errors.
        failed: why there are none, where it could not be run; "" where it was.
    """

    label: str
    method: str
    values: Mapping[str, Score] = field(default_factory=dict)
    failed: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        values = {name: vars(score) for name, score in self.values.items()}
        return {"label": self.label, "method": self.method, "values": values, "failed": self.failed}


@dataclass(frozen=True)
class Found:
    """A table, what to know of it, and what else was found.

    Args:
        lines: the rows.
        notes: what to know.
        more: curves and the like, as plain data.
    """

    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "lines": [line.to_dict() for line in self.lines],
            "notes": list(self.notes),
            "more": dict(self.more),
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> "Found":
        """What `to_dict` gave, read from JSON, where what is not known is null."""
        lines = tuple(
            Line(one["label"], one["method"], _scores(one["values"]), one["failed"])
            for one in found["lines"]
        )
        return cls(lines, tuple(found["notes"]), _curves(found["more"]))


def _scores(values: Mapping[str, Any]) -> dict[str, Score]:
    return {
        name: Score(**{key: _known(entry) for key, entry in score.items()})
        for name, score in values.items()
    }


def _curves(entry: Any) -> Any:
    """The same with NaN for null in lists, which are of numbers."""
    if isinstance(entry, Mapping):
        return {key: _curves(one) for key, one in entry.items()}
    if isinstance(entry, list):
        return [nan if one is None else _curves(one) for one in entry]
    return entry


def _known(entry: Any) -> Any:
    if isinstance(entry, list):
        return tuple(_known(one) for one in entry)
    return nan if entry is None else entry
