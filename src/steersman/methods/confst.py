"""CONFST: the mean of confident examples, for several preferences at once."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from steersman.methods.about import About
from steersman.methods.added import at_depth, pushes
from steersman.methods.base import Method, PlantKind
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence


@dataclass(frozen=True)
class ConfST(Method):
    """The mean of the examples that a probe is sure of, minus the other side's, at one block.

        y <- y + sum_k target_k c_k,   c_k ~ mean(x | desired_k, sure) - mean(x | undesired_k, sure)

    Sure is a probability of 0.9 or more; another one is `fit(..., direction="confident:BETA")`.
    Every preference has a target of its own, and one unit of it is what all its examples differ by
    along `c_k`.

    Args:
        block: where to add, the same for all; -1 chooses for each preference the block whose output
            separates its examples best. Published is one fixed block, which one was not found out.

    Source:
        CONFST, confident direction steering. Confidence, block, tokens and whether the mean of the
        others is taken off were not found out: here it is, because a mean of states alone is mostly
        what all states have in common.
    """

    name: ClassVar[str] = "confst"
    about: ClassVar[About] = About(
        paper="CONFST",
        direction="means of confident examples",
        setpoint="offset",
        controller="none",
        verified="scikit-learn's probes; the sum added by a hook",
    )
    plant: ClassVar[PlantKind] = "none"
    tokens: ClassVar[str] = "all"
    matches: ClassVar[bool] = False
    several: ClassVar[bool] = True
    direction: ClassVar[str] = "confident"

    block: int = -1

    def solve(self, evidence: Evidence) -> Controller:
        """A schedule for each preference.

        Raises:
            InputError: a block that does not exist.
        """
        each = [
            pushes(one, (at_depth(self.block, None, one),))
            for one in evidence.features.directions.values()
        ]
        G = torch.stack(each, dim=-1)
        shifts = torch.eye(len(each)).repeat(len(G), 1, 1)
        return Controller(torch.zeros_like(G), G, G, shifts)
