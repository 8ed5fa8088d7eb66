"""Dataclass fields from plain JSON data."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from steersman.errors import ArtifactError
from steersman.store import read_fields


@dataclass(frozen=True)
class _Record:
    name: str
    count: int
    weight: float = 0.5
    ranges: tuple[int, int] = (0, 1)
    blocks: tuple[int, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    exact: bool = False


_WHOLE: dict[str, Any] = {
    "name": "a",
    "count": 3,
    "weight": 2,
    "ranges": [4, 5],
    "blocks": [1, 2, 3],
    "versions": {"torch": "2"},
    "exact": True,
}


def test_every_kind_of_field_is_read() -> None:
    record = _Record(**read_fields(_Record, _WHOLE, "it"))
    assert record == _Record("a", 3, 2.0, (4, 5), (1, 2, 3), {"torch": "2"}, True)
    assert type(record.weight) is float


def test_the_expected_type_is_named_in_full() -> None:
    with pytest.raises(ArtifactError, match=r"'ranges' of it is 3; expected tuple\[int, int\]"):
        read_fields(_Record, {**_WHOLE, "ranges": 3}, "it")


def test_unknown_keys_are_left_out_and_missing_ones_keep_their_default() -> None:
    assert read_fields(_Record, {"name": "a", "count": 1, "new": []}, "it") == {
        "name": "a",
        "count": 1,
    }


def test_a_missing_field_without_default_is_named() -> None:
    with pytest.raises(ArtifactError, match="it lacks 'count'"):
        read_fields(_Record, {"name": "a"}, "it")


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_what_is_no_object_is_refused(data: object) -> None:
    with pytest.raises(ArtifactError, match="it is .*; expected an object"):
        read_fields(_Record, data, "it")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", 3),
        ("name", None),
        ("count", 1.0),
        ("count", True),
        ("count", "1"),
        ("weight", "1"),
        ("weight", False),
        ("weight", 10**400),
        ("weight", float("nan")),
        ("ranges", [1]),
        ("ranges", [1, "2"]),
        ("ranges", {"0": 1}),
        ("blocks", [1, None]),
        ("versions", ["torch"]),
        ("versions", {"torch": 2}),
        ("exact", 1),
    ],
)
def test_a_field_of_another_type_is_named(name: str, value: object) -> None:
    with pytest.raises(ArtifactError, match=f"'{name}' of it is .*; expected"):
        read_fields(_Record, {**_WHOLE, name: value}, "it")
