"""The papers that can be reproduced."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from steersman.errors import UnknownNameError
from steersman.reproduction import alqr, odesteer
from steersman.reproduction.item import Item


@dataclass(frozen=True)
class Paper:
    """A paper and its tables and figures.

    Args:
        name: what it is asked for by.
        title: its own.
        source: where it is.
        items: its tables and figures.
        missing: methods of its tables that this library does not have.
        recipes: how its continuations are drawn, by the kind of data, where not as the task does.
    """

    name: str
    title: str
    source: str
    items: tuple[Item, ...]
    missing: tuple[str, ...]
    recipes: Mapping[str, str] = field(default_factory=dict)

    def item(self, name: str) -> Item:
        """One table or figure.

        Raises:
            UnknownNameError: there is none of that name; lists those that there are.
        """
        for one in self.items:
            if one.name == name:
                return one
        raise UnknownNameError(
            f"{self.name} has no table or figure {name!r}; choose one of "
            f"{', '.join(one.name for one in self.items)}."
        )


_ALQR = Paper(
    name="alqr",
    title="Local Linearity of LLMs Enables Activation Steering via Model-Based Linear Optimal "
    "Control",
    source="arXiv 2604.19018",
    items=alqr.ITEMS,
    missing=("ITI", "Mean-AcT", "Linear-AcT", "AAS"),
)
_ODESTEER = Paper(
    name="odesteer",
    title="ODESteer: A Unified ODE-Based Steering Framework for LLM Alignment",
    source="arXiv 2602.17560",
    items=odesteer.ITEMS,
    missing=("RepE", "ITI", "MiMiC", "LinAcT"),
    recipes={"truthfulness": "odesteer", "toxicity": "odesteer"},
)
PAPERS = {one.name: one for one in (_ALQR, _ODESTEER)}


def paper_named(name: str) -> Paper:
    """A paper by its name.

    Raises:
        UnknownNameError: it cannot be reproduced; lists those that can.
    """
    if name not in PAPERS:
        raise UnknownNameError(
            f"there is no reproduction of {name!r}; there is one of {', '.join(PAPERS)}."
        )
    return PAPERS[name]
