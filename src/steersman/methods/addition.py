"""Activation addition: the contrast, added at one block. The baseline that everyone has."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.base import Method, PlantKind
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence


@dataclass(frozen=True)
class ActivationAddition(Method):
    """The contrast `c_{b+1}` added at the output of one block `b`; needs no plant.

    Args:
        block: where to add; -1 chooses the block whose output separates the examples best.

    Source:
        Steering Language Models With Activation Engineering (arXiv 2308.10248);
        Steering Llama 2 via Contrastive Activation Addition (arXiv 2312.06681).
    """

    name: ClassVar[str] = "activation-addition"
    about: ClassVar[About] = About(
        paper="ActAdd, arXiv 2308.10248; CAA, arXiv 2312.06681",
        direction="mean difference",
        setpoint="offset",
        controller="none",
        verified="the vector added by a hook",
    )
    plant: ClassVar[PlantKind] = "none"
    tokens: ClassVar[Literal["last", "all"]] = "all"

    block: int = -1

    def solve(self, evidence: Evidence) -> Controller:
        """A schedule with one row."""
        direction = evidence.direction
        blocks = len(direction.norm) - 1
        if not -1 <= self.block < blocks:
            raise InputError(f"block is {self.block}; the model has blocks 0 .. {blocks - 1}.")
        block = self.block if self.block >= 0 else int(direction.separation[1:].argmax())
        inputs = torch.zeros_like(direction.contrast[:-1])
        inputs[block] = direction.contrast[block + 1]
        return Controller.schedule(inputs)
