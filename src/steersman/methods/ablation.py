"""Directional ablation: one direction taken out of every block's output."""

from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import torch

from steersman.control import AffineField, clamped
from steersman.directions import Direction
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.amount import Amount
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence

DEPTH = 0.8
"""The share of the blocks before which the direction is looked for."""


@dataclass(frozen=True)
class Ablation(Amount):
    """`y <- y - target r r'y` at the output of every block, for one unit vector `r`.

    Target 1 removes the feature: behind every block its projection is zero, and again is the same.
    Target 0 leaves every bit, 2 mirrors the states in the plane where the feature is zero. Zero is
    no natural place: what its removal does depends on where the two sides lie beside it. Its
    siblings are "activation-addition", which adds the contrast, and "clamp" and
    "one-sided-clamp", which set the feature to a value of choice.

    The published form also ablates the input of the first block, and what attention writes before
    the MLP of the same block reads it; here those two still see the direction. Its direction is
    chosen among template tokens and layers by running refusals, with limits on the
    divergence and on the refusals induced; that takes a judge, and is not done here. Name the
    state, or the examples choose it.

    Args:
        state: from which state the direction is; -1 takes the one that separates the examples best
            among those before 0.8 of the depth, as the published search is limited to.

    Source:
        Refusal in Language Models Is Mediated by a Single Direction (arXiv 2406.11717).
    """

    name: ClassVar[str] = "ablation"
    about: ClassVar[About] = About(
        paper="Directional ablation, arXiv 2406.11717",
        direction="mean difference of one block",
        setpoint="0",
        controller="exact, one-dimensional",
        verified="hooks written out; idempotent, leaves 0",
        site="block output",
        unmoved="its feature is zero 0.6 of the way to polite, so that removing it "
        "leaves dialogues where they are",
    )

    state: int = -1

    def solve(self, evidence: Evidence) -> Controller:
        """The direction.

        Raises:
            InputError: a state that does not exist, or without contrast.
        """
        direction = evidence.direction
        r = direction.vectors[self._state(direction)].float()
        if not bool(r.any()):
            raise InputError(
                "the examples do not differ at that state, so there is nothing to ablate: choose "
                "another one."
            )
        v = r.expand(direction.blocks, -1).contiguous()
        return Controller.of_own(v, {"v": v})

    def law(self, controller: Controller) -> AffineField:
        """The projection to zero."""
        v = controller.own["v"]
        return clamped(v, torch.zeros_like(v[:, 0]))

    def _state(self, direction: Direction) -> int:
        if not -1 <= self.state < direction.states:
            raise InputError(
                f"state is {self.state}; there are states 0 .. {direction.states - 1}, and -1 "
                "leaves the choice to the examples."
            )
        if self.state >= 0:
            return self.state
        last = max(2, ceil(DEPTH * direction.blocks))
        return 1 + int(direction.separation[1:last].argmax())
