"""PID Steering: proportional, integral and derivative over the blocks, while fitting."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import prefilter, reached
from steersman.control.checks import require_finite
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.acting import acting
from steersman.methods.base import Method, PlantKind
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence

Missing = Callable[[int, Float[Tensor, "blocks n"]], Float[Tensor, " n"]]
"""What is missing at the output of a block, given the inputs at the blocks before it."""


@dataclass(frozen=True)
class PIDSteering(Method):
    """A schedule of vectors from a controller that runs over the blocks while it is fitted.

        r_t = mean(x_{t+1} | desired) - mean(x_{t+1} | undesired, steered at the blocks before t)
        u_t = kp r_t + ki sum_{i<t} r_i + kd (r_t - r_{t-1})

    The loop is closed over the examples' means and not over the token that is steered later: each
    error is read again after the inputs before it, so the blocks do not repeat each other, and what
    comes of it is a fixed schedule. A forward pass over the undesired examples is needed for each
    block that acts. The sum and the difference run over the blocks that act.

    Args:
        kp: gain of the error.
        ki: gain of the sum of the errors before it.
        kd: gain of its difference to the one before; none at the first block.
        blocks: which blocks may act, by number or as "top:K", "probe:K" or "opposed" by what the
            examples show; empty is all of them.

    Source:
        Activation Steering with a Feedback Controller (arXiv 2510.04309), its additive form, with
        gains in the range that it recommends by second-hand accounts. The sum ends before the
        present error, as in its formula; code that goes by its name adds that one too.
    """

    name: ClassVar[str] = "pid-steering"
    about: ClassVar[About] = About(
        paper="PID Steering, arXiv 2510.04309",
        direction="mean difference, read again",
        setpoint="offset",
        controller="PID while fitting",
        verified="sums written out; re-reading by hand",
        rereads=True,
    )
    plant: ClassVar[PlantKind] = "none"
    tokens: ClassVar[Literal["last", "all"]] = "all"

    kp: float = 1.0
    ki: float = 0.05
    kd: float = 0.01
    blocks: str | tuple[int, ...] = ()

    def solve(self, evidence: Evidence) -> Controller:
        """The schedule, block after block, each error read under the inputs before it.

        Raises:
            InputError: nothing to read from, or gains or blocks that cannot be.
            NumericalError: a gain or a state that is not finite.
        """
        read = evidence.require_read(self.name)
        return Controller.schedule(
            self._inputs(evidence, lambda block, before: read(before).contrast[block + 1])
        )

    def _inputs(self, evidence: Evidence, missing: Missing) -> Float[Tensor, "blocks n"]:
        require_finite("gains", torch.tensor([self.kp, self.ki, self.kd]))
        if not (self.kp or self.ki or self.kd):
            raise InputError("kp, ki and kd are all zero: nothing would be done.")
        inputs = torch.zeros_like(evidence.direction.contrast[:-1])
        total, previous = torch.zeros_like(inputs[0]), None
        for block in acting(self.blocks, len(inputs)):
            error = missing(block, inputs).to(inputs)
            change = torch.zeros_like(error) if previous is None else error - previous
            inputs[block] = self.kp * error + self.ki * total + self.kd * change
            total, previous = total + error, error
        require_finite("inputs", inputs)
        return inputs


@dataclass(frozen=True)
class PIDSteeringOnce(PIDSteering):
    """PID Steering with the contrasts read once, before anything is steered.

        r_t = c_{t+1},    u_t = N (kp r_t + ki sum_{i<t} r_i + kd (r_t - r_{t-1}))

    No error hears of the inputs before it, so the blocks repeat each other and their sum overshoots
    several times. The vectors need no plant; the plant is asked how far they move the feature, so
    that one unit of target moves it by the whole contrast: that is the factor `N`. The published
    vectors are target `1 / N`, with `N` the controller's shifts.
    """

    name: ClassVar[str] = "pid-steering-once"
    about: ClassVar[About] = About(
        paper="PID Steering, arXiv 2510.04309",
        direction="mean difference",
        setpoint="offset",
        controller="PID while fitting",
        verified="sums written out",
    )
    plant: ClassVar[PlantKind] = "products"

    def solve(self, evidence: Evidence) -> Controller:
        """The schedule, scaled to reach what is asked on the averaged plant.

        Raises:
            InputError: no plant, or gains or blocks that cannot be.
            NumericalError: a gain that is not finite, or the inputs cannot move the feature.
        """
        direction, system = evidence.direction, evidence.require_plant(self.name)
        inputs = self._inputs(evidence, lambda block, _: direction.contrast[block + 1])
        answer = reached(system, inputs.unsqueeze(-1), direction.vectors[-1:].mT)
        factor = prefilter(answer, direction.norm[-1:])
        found = Controller.schedule(inputs)
        return replace(found, plan=factor * found.plan, shifts=factor * found.shifts)
