"""RAPTOR: a probe with a tuned ridge, and the smallest push to a probability of it."""

from dataclasses import dataclass
from typing import ClassVar

from steersman.directions import Observer, Raptor
from steersman.methods.about import About
from steersman.methods.target_probability import TargetProbability


@dataclass(frozen=True)
class RAPTOR(TargetProbability):
    """The shortest push behind one block after which the ridge-tuned probe says `p`.

        min_w  sum_i log(1 + exp(-y_i (w'z_i + b))) + ridge/2 |w|^2,    z the standardised states
        u = target max(0, (logit p - w'y - b) / |w|) w / |w|            w, b mapped back to states

    It is "target-probability" with another probe: the states are standardised, and the ridge is the
    one of best accuracy on examples held out. A limit to the push is `attach(cap=...)`.

    Args:
        probability: `p`, above 0 and below 1; 0.9 is ours, there is no published default.
        block: where to act; -1 chooses the block whose output separates the examples best.
        ridge: the probe's; None tunes it.

    Source:
        RAPTOR, ridge-adaptive logistic probes. Which tokens are steered was not found out, nor
        were the grid of the ridge and the standardisation.
    """

    name: ClassVar[str] = "raptor"
    about: ClassVar[About] = About(
        paper="RAPTOR",
        direction="logistic probe of standardised states",
        setpoint="probability of the probe",
        controller="exact, one-sided",
        verified="scikit-learn's probe asked again",
        site="block output",
    )
    direction: ClassVar[str] = "raptor"

    def probe(self) -> Observer:
        """The tuned probe, or the one of a given ridge."""
        return Raptor() if self.ridge is None else Raptor((self.ridge,))
