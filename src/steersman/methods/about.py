"""What a method is made of and where it comes from: one row of the table of methods."""

from dataclasses import dataclass
from typing import Literal

Site = Literal["through the block", "block output", "attention heads", "block output or inside"]
"""What a law reads and where it acts: a block's input and its output; its output alone; its
attention heads; or a place that can be chosen."""


@dataclass(frozen=True)
class About:
    """A method, as the table of methods shows it.

    Args:
        paper: where it comes from, short enough for a table.
        direction: along what it pushes.
        setpoint: where it wants what it observes.
        controller: how the push follows from that.
        verified: against what it was checked.
        site: what it reads, and where it acts.
        trained: whether the model is run backwards to fit it.
        rereads: whether examples run again, under what is known so far, for each block that acts.
        unmoved: why, with its defaults, it does not move toxicity in the wind tunnel beyond chance,
            neither at target 1 nor where it costs what others cost; empty where it does.
    """

    paper: str
    direction: str
    setpoint: str
    controller: str
    verified: str
    site: Site = "through the block"
    trained: bool = False
    rereads: bool = False
    unmoved: str = ""
