"""A setpoint for what a probe says: the smallest push to a probability."""

from dataclasses import dataclass
from math import log
from typing import Any, ClassVar

from steersman.control import Law, Within, clamped
from steersman.directions import Observer, Probe
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.acting import one_block
from steersman.methods.amount import Amount
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence
from steersman.methods.probed import probed


@dataclass(frozen=True)
class TargetProbability(Amount):
    """The shortest push behind one block after which a probe says `p`, where it says less.

        p(desired | y) = sigma(w'y + b),      v = w / |w|
        u = target max(0, (logit p - w'y - b) / |w|) v

    At target 1 each token that is steered has the probability asked for or more, exactly; what it
    takes differs from token to token, and one that has it is left alone. Target 0 leaves every bit.
    A limit to the push is `attach(cap=...)`.

    Args:
        probability: `p`, above 0 and below 1; 0.9 is ours, there is no published default.
        block: where to act; -1 chooses the block whose output separates the examples best.
        ridge: the probe's; None chooses the one of least loss on examples left out.

    Source:
        The strength of RAPTOR, with the probe of this package; "raptor" has its own.
    """

    name: ClassVar[str] = "target-probability"
    about: ClassVar[About] = About(
        paper="after RAPTOR",
        direction="logistic probe",
        setpoint="probability of the probe",
        controller="exact, one-sided",
        verified="the probe asked again",
        site="block output",
    )

    probability: float = 0.9
    block: int = -1
    ridge: float | None = None

    def solve(self, evidence: Evidence) -> Controller:
        """The probe of one block, and where it says the probability.

        Raises:
            InputError: a probability or a block that cannot be, no states to learn from, or a probe
                that cannot tell the sides apart.
        """
        if not 0 < self.probability < 1:
            raise InputError(f"probability is {self.probability}; give one above 0 and below 1.")
        block = one_block(self.block, evidence.direction)
        found = probed(evidence.require_sides(self.name), self.probe(), (block,))
        if not bool(found.slope[block] > 0):
            raise InputError(f"the probe of block {block} cannot tell the sides apart.")
        setpoint = found.boundary.clone()
        setpoint[block] += log(self.probability / (1 - self.probability)) / found.slope[block]
        v = found.v.float()
        return Controller.of_own(v, {"v": v, "setpoint": setpoint.float()})

    def probe(self) -> Observer:
        """What reads the weights of a logistic regression."""
        return Probe(self.ridge)

    def law(self, controller: Controller) -> Law[Any]:
        """The clamp, below the setpoint."""
        v, setpoint = controller.own["v"], controller.own["setpoint"]
        return Within.below(clamped(v, setpoint), v, setpoint)
