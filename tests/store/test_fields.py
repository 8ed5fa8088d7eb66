"""Dataclass fields from plain JSON data."""

from dataclasses import dataclass, field
from typing import Any, Literal

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
    weights: float | tuple[float, ...] = 1.0
    rank: int | None = None
    side: Literal["left", "right"] = "left"


_WHOLE: dict[str, Any] = {
    "name": "a",
    "count": 3,
    "weight": 2,
    "ranges": [4, 5],
    "blocks": [1, 2, 3],
    "versions": {"torch": "2"},
    "exact": True,
    "weights": [1, 2.5],
    "rank": None,
    "side": "right",
}


_LAST: Any = ((1.0, 2.5), None, "right")


@pytest.mark.parametrize("change", [{"weights": "1"}, {"rank": 1.5}, {"side": "up"}])
def test_a_value_that_is_none_of_the_kinds_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match=f"'{next(iter(change))}' of it is .*; expected "):
        read_fields(_Record, {**_WHOLE, **change}, "it")


def test_one_of_several_kinds_is_read_as_itself() -> None:
    assert read_fields(_Record, {**_WHOLE, "weights": 3, "rank": 2}, "it")["weights"] == 3.0


def test_every_kind_of_field_is_read() -> None:
    record = _Record(**read_fields(_Record, _WHOLE, "it"))
    assert record == _Record("a", 3, 2.0, (4, 5), (1, 2, 3), {"torch": "2"}, True, *_LAST)
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
