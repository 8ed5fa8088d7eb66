"""Rotation toward the contrast, each state along its own great circle."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from steersman.control import Absolute, GreatCircleLaw, Reference, Target, Units
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.acting import one_block
from steersman.methods.amount import Amount
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence


@dataclass(frozen=True)
class GreatCircle(Amount):
    """Turn what leaves one block toward the contrast, by a share of its own angle to it.

        y <- |y| (cos(a theta) y^ + sin(a theta) w),   theta = angle(y, v),   a = target unit
        unit = 1 - theta_d / theta_u        the two sides' mean states

    The length stays, and all of a state beside `v` shrinks by one factor. The published share `a`
    is between 0 and 1, and at 1 nothing is left of a state but the contrast. So one unit of target
    is the share that turns the undesired mean state to the angle that the desired mean has; it is
    kept as the controller's `unit`, and the published share is `target unit`. Target 0 leaves every
    bit.

    Args:
        block: where to act; -1 chooses the block whose output separates the examples best.
            Published is block 12 of 26 and of 42.

    Source:
        Mechanistic indicators of steering effectiveness (arXiv 2602.01716),
        https://github.com/cruiseresearchgroup/IntSteer.
    """

    name: ClassVar[str] = "great-circle"
    about: ClassVar[About] = About(
        paper="IntSteer, arXiv 2602.01716",
        direction="contrast",
        setpoint="share of the angle to it",
        controller="rotation",
        verified="the formula written out; length kept",
        site="block output",
    )

    block: int = -1

    def solve(self, evidence: Evidence) -> Controller:
        """The direction at one block and the unit of its angle.

        Raises:
            InputError: no states to learn from, a block that does not exist, or means that lie at
                one angle to the contrast.
        """
        direction, sides = evidence.direction, evidence.require_sides(self.name)
        block = one_block(self.block, direction)
        v = torch.zeros_like(direction.vectors[:-1])
        v[block] = direction.vectors[block + 1]
        theta = [_angle(side[:, block + 1].double().mean(0), v[block].double()) for side in sides]
        unit = 1 - theta[0] / theta[1]
        if not bool(unit > 1e-6):
            raise InputError(
                f"behind block {block} the desired mean is at no smaller angle to the direction "
                "than the undesired one, so there is nothing to turn toward: choose another block."
            )
        v = torch.nn.functional.normalize(v.double(), dim=1).float()
        return Controller.of_own(v, {"v": v, "unit": unit.float()})

    def law(self, controller: Controller) -> GreatCircleLaw:
        """The turn."""
        return GreatCircleLaw(controller.own["v"])

    def relative(self, strength: Target, controller: Controller) -> tuple[Reference, Units]:
        """How much of the turn from the undesired mean's angle to the desired one's."""
        turn = controller.own["unit"].expand(len(controller.plan))
        return Absolute(strength), Units(turn, torch.zeros_like(turn))


def _angle(x: Tensor, v: Tensor) -> Tensor:
    along = x @ v
    return torch.atan2((x - along * v).norm(), along)
