"""One table or figure of a paper: what it shows, what it needs, how it is measured here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steersman.errors import InputError
from steersman.reproduction.published import Published

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from steersman.reproduction.bench import Bench
    from steersman.reproduction.found import Found

Need = tuple[str, ...]
"""Kinds of data of which one will do, the best first."""


@dataclass(frozen=True)
class Measure:
    """A column: a number that is measured here, and perhaps published.

    Args:
        name: what it is called in the item.
        heading: what stands over the column, with its unit.
        scale: what our numbers are multiplied by to be in that unit, which published ones are in.
        digits: how many are shown behind the point.
    """

    name: str
    heading: str
    scale: float = 1.0
    digits: int = 3


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Args:
        count: prompts, questions or trials of each seed.
        seeds: for each, other prompts where there are enough, and other random numbers.
        pairs: examples on each side to fit on.
        jacobians: prompts that the plant is averaged over.
        batch_size: rows at a time; it decides rounding.
    """

    count: int
    seeds: tuple[int, ...] = (0,)
    pairs: int = 200
    jacobians: int = 50
    batch_size: int = 16

    def __post_init__(self) -> None:
        """Refuse what measures nothing."""
        for name in ("count", "pairs", "jacobians", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"seeds are {list(self.seeds)}: give at least one, each once.")

    def changed(
        self,
        count: int | None,
        seeds: tuple[int, ...] | None,
        pairs: int | None,
        jacobians: int | None,
        batch_size: int | None,
    ) -> "Sizes":
        """The same with what was asked for; None leaves a size as it is."""
        return Sizes(
            self.count if count is None else count,
            self.seeds if seeds is None else seeds,
            self.pairs if pairs is None else pairs,
            self.jacobians if jacobians is None else jacobians,
            self.batch_size if batch_size is None else batch_size,
        )


@dataclass(frozen=True)
class Item:
    """A table or figure of a paper.

    Args:
        name: what it is asked for by.
        title: for people.
        shows: what the paper shows there.
        needs: the data that it cannot be measured without.
        sizes: the paper's sizes, where they are known.
        work: how much is measured at these sizes, in words.
        measures: the columns, the most important first.
        measure: measures it.
        published: the paper's numbers, as far as they are known.
        unknown: what the paper has there that is not known to us; empty where all is.
        differs: where our measurement differs from the paper's.
        unit: what it is measured on.
        sized: which sizes besides the count matter to it.
        figure: draws what was measured; None draws the first measure beside what is published.
        caption: what such a figure shows.
    """

    name: str
    title: str
    shows: str
    needs: tuple[Need, ...]
    sizes: Sizes
    work: str
    measures: tuple[Measure, ...]
    measure: "Callable[[Bench], Found]"
    published: tuple[Published, ...] = ()
    unknown: str = ""
    differs: tuple[str, ...] = ()
    unit: str = "prompts"
    sized: tuple[str, ...] = ("seeds", "pairs", "jacobians")
    figure: "Callable[[Found], Figure | None] | None" = None
    caption: str = ""

    @property
    def models(self) -> tuple[str, ...]:
        """The models that published numbers are of."""
        return tuple(dict.fromkeys(one.model for one in self.published))

    def to_dict(self) -> dict[str, Any]:
        """What the item is, without what was measured, as plain data."""
        return {
            "name": self.name,
            "title": self.title,
            "shows": self.shows,
            "measures": [vars(one) for one in self.measures],
            "published": [vars(one) for one in self.published],
            "unknown": self.unknown,
            "differs": list(self.differs),
        }
