"""A benchmark is a set of named parts, so that an interrupted run goes on where it was."""

from collections.abc import Callable, Mapping
from typing import Any

Cell = dict[str, Any]
Parts = Mapping[str, Callable[[], list[Cell]]]
