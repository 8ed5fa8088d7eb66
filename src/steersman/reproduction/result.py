"""What came of a reproduction: every item with our numbers and the paper's."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steersman.jsonable import plain
from steersman.reproduction.found import Found
from steersman.reproduction.item import Item
from steersman.reproduction.papers import Paper

KIND = "steersman reproduction"
FORMAT = 1


@dataclass(frozen=True)
class Done:
    """An item that was measured.

    Args:
        item: which.
        settings: everything that decided its numbers.
        found: the numbers.
    """

    item: Item
    settings: Mapping[str, Any]
    found: Found


@dataclass(frozen=True)
class Reproduction:
    """A paper's tables and figures with our numbers beside the published ones.

    Args:
        paper: which paper.
        model: name and hashes of the model that ours are of.
        items: what was measured, in the paper's order.
        skipped: items that were not measured, with the reason.
        failed: items that were tried and failed, with the reason.
    """

    paper: Paper
    model: Mapping[str, Any]
    items: tuple[Done, ...]
    skipped: Mapping[str, str]
    failed: Mapping[str, str]

    @property
    def model_name(self) -> str:
        """What the model is called."""
        return str(self.model["name"])

    def summary(self) -> str:
        """Every table, for a terminal."""
        from steersman.reproduction.words import summary

        return summary(self)

    def to_html(self, path: str | Path) -> Path:
        """Write one self-contained page; without matplotlib it has tables and no figures.

        Raises:
            InputError: it cannot be written there.
        """
        from steersman.reproduction.page import write

        return write(self, path)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; what is not known is null."""
        found: dict[str, Any] = plain(
            {
                "kind": KIND,
                "format": FORMAT,
                "paper": self.paper.name,
                "model": self.model,
                "items": [
                    {**one.item.to_dict(), "settings": one.settings, "found": one.found.to_dict()}
                    for one in self.items
                ],
                "skipped": self.skipped,
                "failed": self.failed,
            }
        )
        return found
