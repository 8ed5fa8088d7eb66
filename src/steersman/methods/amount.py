"""Methods whose target says how much of what they do is done."""

from typing import ClassVar, Literal

from steersman.control import Absolute, Reference, Target, Units
from steersman.methods.base import ExecutionName, Method, PlantKind
from steersman.methods.controller import Controller


class Amount(Method):
    """A method with a law of its own, made of the controller's `own`; target 0 adds nothing.

    What target 1 does is a matter of the method, and no natural unit of the feature behind the last
    block: other blocks come after, and several that act add up.
    """

    plant: ClassVar[PlantKind] = "none"
    tokens: ClassVar[Literal["last", "all"]] = "all"
    in_units: ClassVar[bool] = False
    execution: ClassVar[ExecutionName] = "feedback"

    def relative(self, strength: Target, controller: Controller) -> tuple[Reference, Units]:
        """How much; what the token shows is the state that the law reads."""
        return Absolute(strength), Units.plain(len(controller.plan))
