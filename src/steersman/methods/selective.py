"""Selective Steering: turn by an angle, at the blocks where the two sides lie apart."""

from dataclasses import dataclass
from math import radians
from typing import ClassVar

from steersman.control import Absolute, Reads, Reference, Target, TurnLaw, Units
from steersman.directions import Features
from steersman.methods.about import About
from steersman.methods.angular import AngularSteering, Plane
from steersman.methods.base import Controller


@dataclass(frozen=True)
class SelectiveSteering(AngularSteering):
    """Turn each state's part in one plane by an angle, at the blocks whose two sides are opposed.

        y <- y + H (R(target theta) - I) H'y,        H the plane of "angular" with its contrasts
        at block b where  mean_+ (h_1'y / |y|)  mean_- (h_1'y / |y|) < 0

    Target 1 turns by the angle between the two means, shared out among the blocks that act, or by a
    number of degrees at each; 0 leaves every bit, and the length is kept. "angular" turns *to* an
    angle, or by one from where the token would point unsteered; this turns from where it points
    when it gets there, so that the turns of several blocks add up.

    Args:
        plane: as in "angular"; published is "contrasts".
        gate: as there; published is "all".
        blocks: "signs" selects as written above; where it finds none, it says so and takes the
            block that comes nearest to it.
        reads: what leaves a block turns.
        degrees: by how much target 1 turns at each block; None is the angle between the two means,
            divided by the number of blocks.

    Source:
        Selective Steering, https://github.com/knoveleng/steering, where the outputs of
        normalisation layers turn, and a block is selected where all of its own are; here it is the
        residual stream. Its other plane, by optimisation, is not here.
    """

    name: ClassVar[str] = "selective"
    about: ClassVar[About] = About(
        paper="Selective Steering",
        direction="plane of the contrasts",
        setpoint="angle, from where the state points",
        controller="rotation",
        verified="rotation matrices written out; length kept; the sign test in numpy",
        site="block output",
    )
    matches: ClassVar[bool] = False

    plane: Plane = "contrasts"
    blocks: str | tuple[int, ...] = "signs"
    reads: Reads = "output"
    degrees: float | None = None

    def law(self, controller: Controller) -> TurnLaw:
        """The turn, as it is stepped in front of the blocks."""
        plain = super().law(controller)
        return TurnLaw(plain.H, plain.until, plain.reads)

    def relative(self, strength: Target, controller: Controller) -> tuple[Reference, Units]:
        """By how much to turn."""
        between = controller.shifts[:, 1, 0] / max(1, int(controller.H.any(2).any(1).sum()))
        if self.degrees is not None:
            between = between.new_full(between.shape, radians(self.degrees))
        return Absolute(strength), Units(between, between.new_zeros(len(between)))

    def absolute(
        self, strength: Target, controller: Controller, features: Features
    ) -> tuple[Reference, Units]:
        """There is none: what it is asked for is by how much to turn, and not where to.

        Raises:
            InputError: always.
        """
        return self.held(strength, controller)
