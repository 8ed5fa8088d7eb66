"""Inference-time intervention's push, on the residual stream: so many standard deviations."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.base import Method, PlantKind
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence


@dataclass(frozen=True)
class ITIResidual(Method):
    """`y <- y + target sigma v` behind the blocks that tell the sides apart best.

    `v` is the unit contrast behind the block and `sigma` the standard deviation of `v'x` over all
    examples, so that one unit of target is one standard deviation of what the model itself shows;
    the desired and the undesired mean are about d' of them apart.

    It is not the published method, which pushes 48 attention heads of 1024, each at its own input
    of the output projection, by 15 standard deviations: single heads are no site that can be
    steered here. The same push on the residual stream is a usual baseline under the same name.
    Sites are chosen as there, by how well each tells the sides apart on examples left out. The
    published `sigma` is of a set of its own, without labels.

    Args:
        top: how many blocks act.

    Source:
        Inference-Time Intervention (arXiv 2306.03341).
    """

    name: ClassVar[str] = "iti-residual"
    about: ClassVar[About] = About(
        paper="ITI, arXiv 2306.03341, on the residual stream",
        direction="mean difference",
        setpoint="offset in standard deviations",
        controller="none",
        verified="the formula written out",
        site="block output",
    )
    plant: ClassVar[PlantKind] = "none"
    tokens: ClassVar[Literal["last", "all"]] = "last"
    in_units: ClassVar[bool] = False

    top: int = 1

    def solve(self, evidence: Evidence) -> Controller:
        """The schedule.

        Raises:
            InputError: more blocks than there are, or no states to learn from.
        """
        direction, sides = evidence.direction, evidence.require_sides(self.name)
        if not 1 <= self.top <= direction.blocks:
            raise InputError(f"top is {self.top}; the model has {direction.blocks} blocks.")
        inputs = torch.zeros_like(direction.vectors[:-1])
        for block in direction.separation[1:].topk(self.top).indices.tolist():
            v = direction.vectors[block + 1]
            spread = (torch.cat(list(sides))[:, block + 1].to(v) @ v).std(correction=0)
            inputs[block] = spread * v
        return Controller.schedule(inputs.float())
