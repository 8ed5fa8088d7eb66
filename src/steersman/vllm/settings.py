"""Which steerings an engine starts with, and how much room it keeps for them."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steersman.errors import InputError

VARIABLE = "STEERSMAN_VLLM"
"""The environment variable that holds the settings, as JSON."""
KEY = "steersman"
"""Their name in vLLM's `additional_config`, and of what a request asks, in its own settings."""
COLUMNS = 32
"""For how many observed numbers there is room by default, over all steerings."""
_LAYOUT = 4
"""Raised where the operation in the model's graph changes: no compiled graph outlives it."""
_EXAMPLE = '{"steerings": {"calm": "/path/to/steering"}}'


@dataclass(frozen=True)
class Settings:
    """What an engine is told of steerings when it starts.

    Args:
        steerings: folders that `Steering.save_pretrained` wrote, by the names that requests use.
        columns: room for so many observed numbers, of all steerings together; it cannot grow while
            the engine runs. A steering takes one a feature for each way it can be run, and one to
            tell where the feature is.
    """

    steerings: Mapping[str, str]
    columns: int = COLUMNS

    @classmethod
    def of(cls, vllm_config: Any) -> "Settings | None":
        """The settings of an engine; None where it was given none and is left alone.

        Args:
            vllm_config: vLLM's own; `additional_config` goes before the environment.

        Raises:
            InputError: settings that cannot be read.
        """
        given = getattr(vllm_config, "additional_config", None)
        found = given.get(KEY) if isinstance(given, dict) else None
        if found is not None:
            return cls.read(found, f"additional_config[{KEY!r}]")
        text = os.environ.get(VARIABLE)
        return None if not text else cls.of_text(text)

    @classmethod
    def of_text(cls, text: str) -> "Settings":
        """Those that the environment variable holds.

        Raises:
            InputError: settings that cannot be read.
        """
        return cls.read(_json(text), VARIABLE)

    @classmethod
    def read(cls, data: object, where: str) -> "Settings":
        """Settings from plain data.

        Args:
            data: `{"steerings": {NAME: FOLDER, ...}, "columns": COUNT}`.
            where: where they come from, for messages.

        Raises:
            InputError: they are something else.
        """
        if not isinstance(data, dict) or not set(data) <= {"steerings", "columns", "graph"}:
            raise InputError(f"{where} is {data!r}; write it as {_EXAMPLE}.")
        steerings, columns = data.get("steerings", {}), data.get("columns", COLUMNS)
        named = isinstance(steerings, dict) and all(
            isinstance(name, str) and name and isinstance(folder, str)
            for name, folder in steerings.items()
        )
        if not named:
            raise InputError(f"the steerings of {where} are {steerings!r}; write {_EXAMPLE}.")
        if not isinstance(columns, int) or columns < 1:
            raise InputError(f"the columns of {where} are {columns!r}; give 1 or more.")
        return cls(dict(steerings), columns)

    def mark(self, vllm_config: Any) -> None:
        """Make vLLM's key of compiled graphs tell that the blocks hold the operation."""
        given = vllm_config.additional_config
        if isinstance(given, dict):
            data = {"steerings": dict(self.steerings), "columns": self.columns, "graph": _LAYOUT}
            given[KEY] = data


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{VARIABLE} is not JSON ({error}); write it as {_EXAMPLE}.") from error
