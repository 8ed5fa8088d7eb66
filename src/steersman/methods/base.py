"""What a steering method is: a direction and a plant become a controller."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from steersman.control import LTVSystem
from steersman.directions import Direction

ReferenceName = Literal["relative", "absolute"]
ExecutionName = Literal["plan", "feedback"]


@dataclass(frozen=True, eq=False)
class Controller:
    """The tensors of a steering law, and the schedule that its closed loop amounts to.

    Args:
        H: what is observed at each block's input, `(blocks, n, k)`.
        G: what is added at its output for each unit of error, `(blocks, n, k)`.
        plan: the inputs that moving the feature by its whole contrast `|c_t|` asks for on the
            averaged plant, `(blocks, n)`; they reach it at the output of the last block.
        prefilter: the factor on a relative reference that makes the loop reach it.
    """

    H: Float[Tensor, "blocks n k"]
    G: Float[Tensor, "blocks n k"]
    plan: Float[Tensor, "blocks n"]
    prefilter: float


class Method(ABC):
    """A named way to a controller; a frozen dataclass whose fields are its hyper-parameters.

    A new method is one file with one subclass and a line in `methods/__init__.py`.
    """

    name: ClassVar[str]
    needs_plant: ClassVar[bool]
    tokens: ClassVar[Literal["last", "all"]]
    reference: ClassVar[ReferenceName] = "relative"
    execution: ClassVar[ExecutionName] = "plan"

    @abstractmethod
    def solve(self, direction: Direction, system: LTVSystem | None) -> Controller:
        """The controller for one direction.

        Args:
            direction: the feature, for `x_0 .. x_T`.
            system: the identified plant; None where `needs_plant` is False.
        """

    def hyperparameters(self) -> dict[str, float | int]:
        """What the method was set to, for the record."""
        return dict(vars(self))
