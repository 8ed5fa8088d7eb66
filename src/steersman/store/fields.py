"""The fields of a frozen dataclass, read from plain JSON data and checked one by one."""

import math
from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from steersman.errors import ArtifactError


def read_fields(kind: type[Any], data: object, what: str) -> dict[str, Any]:
    """The arguments of `kind`, a dataclass, that JSON data holds.

    Keys that `kind` does not know are left out, so that a later version may add some; fields that
    are not there keep their default.

    Args:
        kind: a dataclass whose fields are str, int, float, bool, None, or literals, tuples, dicts
            and unions of those.
        data: what the JSON holds.
        what: what `data` is called, for messages.

    Raises:
        ArtifactError: `data` is no object, or a field is missing or of another type.
    """
    if not isinstance(data, dict):
        raise ArtifactError(f"{what} is {_seen(data)}; expected an object.")
    found = {}
    for field in fields(kind):
        if field.name not in data:
            if field.default is MISSING and field.default_factory is MISSING:
                raise ArtifactError(f"{what} lacks {field.name!r}. Save the steering again.")
            continue
        try:
            found[field.name] = _read(data[field.name], field.type)
        except (TypeError, OverflowError) as error:
            raise ArtifactError(
                f"{field.name!r} of {what} is {_seen(data[field.name])}; expected "
                f"{_named(field.type)}. Save the steering again."
            ) from error
    return found


def _read(value: Any, kind: Any) -> Any:
    """`value` as `kind`, or TypeError; a bool is no int, a whole number is a float."""
    parts = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return _read_any(value, parts)
    if value is None and kind is NoneType:
        return None
    if get_origin(kind) is Literal and value in parts:
        return value
    if get_origin(kind) is tuple and isinstance(value, list | tuple):
        each = parts[:1] * len(value) if parts[-1] is Ellipsis else parts
        if len(each) == len(value):
            return tuple(_read(one, part) for one, part in zip(value, each, strict=True))
    elif get_origin(kind) is dict and isinstance(value, dict):
        return {_read(key, parts[0]): _read(one, parts[1]) for key, one in value.items()}
    elif type(value) is kind or (kind is float and type(value) is int):
        number = kind(value)
        if kind is not float or math.isfinite(number):
            return number
    raise TypeError(kind)


def _read_any(value: Any, kinds: tuple[Any, ...]) -> Any:
    for kind in kinds:
        try:
            return _read(value, kind)
        except TypeError:
            continue
    raise TypeError(kinds)


def _named(kind: Any) -> str:
    return str(kind) if get_args(kind) else str(kind.__name__)


def _seen(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
