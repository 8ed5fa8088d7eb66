"""Given vectors: one a block, added as it is."""

from dataclasses import dataclass
from typing import ClassVar

from steersman.engines import tokens_named
from steersman.methods.about import About
from steersman.methods.base import Method, PlantKind
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence


@dataclass(frozen=True)
class GivenVectors(Method):
    """One vector a block, added at its output; needs no plant.

        x_{t+1} = f_t(x_t) + target c_{t+1}          c_{t+1} = 0: block t is left alone

    It is how a steering is run that comes from elsewhere, or that was put together from others:
    `c_{t+1}` is then the vector of block `t`. A unit of target is the vector as it was given, not a
    natural unit of any examples. Fitted from examples it adds the whole contrast behind every
    block, which is far more than what one block adds: the inputs of all blocks add up.

    Args:
        tokens: where it acts, by the name of a rule: "all" is every token, "last" from the prompt's
            last token on.

    Source:
        Representation Engineering (arXiv 2310.01405), which adds one vector at each of many layers.
    """

    name: ClassVar[str] = "vectors"
    about: ClassVar[About] = About(
        paper="RepE, arXiv 2310.01405; files of other tools",
        direction="given, or mean difference",
        setpoint="offset",
        controller="none",
        verified="hooks that add the vectors, bit for bit",
    )
    plant: ClassVar[PlantKind] = "none"
    in_units: ClassVar[bool] = False

    # Of the other methods it is a property; what is given acts where whoever made it let it act.
    tokens: str = "all"  # type: ignore[misc]

    def solve(self, evidence: Evidence) -> Controller:
        """The contrast behind each block, as a schedule.

        Raises:
            InputError: no such tokens.
        """
        tokens_named(self.tokens)
        return Controller.schedule(evidence.direction.contrast[1:])
