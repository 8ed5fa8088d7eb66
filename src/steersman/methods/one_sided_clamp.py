"""The feature held at or beyond a value, behind each block, exactly."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from steersman.control import Absolute, ClampLaw, Reference, Relative, Side, Target, Units
from steersman.directions import Features
from steersman.methods.about import About
from steersman.methods.acting import acting
from steersman.methods.base import ExecutionName, Method, PlantKind, ReferenceName
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence


@dataclass(frozen=True)
class OneSidedClamp(Method):
    """Set the feature of what leaves a block, where it is below the value asked for.

        y <- y + v max(0, s - v'y) / |v|^2        s = origin + target v'c       absolute
                                                  s = v'ybar + target v'c       relative

    It is the shortest push into the half space `v'y >= s`, and a token that is there is left alone:
    absolute target 1 lifts those below the desired mean to it, 0 those below the undesired one. It
    reads the block's output, so the value is exact, with what other blocks have added before in it.
    Setting both sides is the clamp, which also takes away what a token has too much.

    An absolute value holds for tokens like those the examples were read at: the feature depends
    far more on the kind of token than on what is steered.

    Args:
        blocks: which blocks act; empty is the last one alone, where one unit of target is the final
            feature's.
        side: which tokens are set: those "below" the value, those "above", or "both".
    """

    name: ClassVar[str] = "one-sided-clamp"
    about: ClassVar[About] = About(
        paper="the clamp, where it is below",
        direction="observer",
        setpoint="relative; absolute; where below",
        controller="exact, one-sided",
        verified="the feature reached, exactly",
        site="block output",
    )
    plant: ClassVar[PlantKind] = "none"
    tokens: ClassVar[Literal["last", "all"]] = "last"
    reference: ClassVar[ReferenceName] = "relative"
    execution: ClassVar[ExecutionName] = "feedback"

    blocks: tuple[int, ...] = ()
    side: Side = "below"

    def solve(self, evidence: Evidence) -> Controller:
        """The directions of the outputs, with their units.

        Raises:
            InputError: a block that does not exist.
        """
        direction = evidence.direction
        acts = acting(self.blocks or (direction.blocks - 1,), direction.blocks)
        v = torch.zeros_like(direction.vectors[:-1], dtype=torch.float32)
        v[list(acts)] = direction.vectors[1:][list(acts)].float()
        own = {"v": v, "norm": direction.norm[1:].float(), "origin": direction.origin[1:].float()}
        return Controller.of_own(v, own)

    def law(self, controller: Controller) -> ClampLaw:
        """The clamp."""
        v = controller.own["v"]
        squared = v.square().sum(dim=1, keepdim=True)
        return ClampLaw(v, torch.where(squared > 0, v / squared, 0.0), self.side)

    def relative(self, strength: Target, controller: Controller) -> tuple[Reference, Units]:
        """So many units beyond what the token shows there unsteered."""
        norm = controller.own["norm"]
        return Relative(strength), Units(norm, torch.zeros_like(norm))

    def absolute(
        self, strength: Target, controller: Controller, features: Features
    ) -> tuple[Reference, Units]:
        """A value of the feature behind each block."""
        return Absolute(strength), Units(controller.own["norm"], controller.own["origin"])
