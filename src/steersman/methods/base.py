"""What a steering method is: a direction and a plant become a controller."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import AffineLaw, Law, LTVSystem, Plant
from steersman.directions import Direction
from steersman.errors import InputError

ReferenceName = Literal["relative", "absolute"]
ExecutionName = Literal["plan", "feedback"]
PlantKind = Literal["none", "products", "matrices"]
"""What a method has to know of the plant: nothing, products with it, or its matrices."""


@dataclass(frozen=True, eq=False)
class Controller:
    """The tensors of a steering law, and the schedule that its closed loop amounts to.

    Args:
        H: what is observed at each block's input, `(blocks, n, k)`.
        G: what is added at its output for each unit of error, `(blocks, n, k)`.
        plan: the inputs that moving the feature by its whole contrast `|c_t|` asks for on the
            averaged plant, `(blocks, n)`; they reach it at the output of the last block.
        shifts: how far one unit of a relative target moves the reference of each observed number
            from its nominal value, `(blocks, k)`; the prefilter is in it.
    """

    H: Float[Tensor, "blocks n k"]
    G: Float[Tensor, "blocks n k"]
    plan: Float[Tensor, "blocks n"]
    shifts: Float[Tensor, "blocks k"]

    def observes(self, direction: Direction) -> bool:
        """Whether what is observed is the feature `v_t' x_t` itself."""
        H, v = self.H.cpu(), direction.vectors[:-1].unsqueeze(-1).cpu()
        return H.shape == v.shape and H.dtype == v.dtype and torch.equal(H, v)

    @property
    def active(self) -> tuple[int, ...]:
        """The blocks at which anything is ever added."""
        acts = self.G.flatten(1).any(dim=1) | self.plan.any(dim=1)
        return tuple(acts.nonzero().flatten().tolist())


class Method(ABC):
    """A named way to a controller; a frozen dataclass whose fields are its hyper-parameters.

    A new method is one file with one subclass and a line in `methods/__init__.py`.
    """

    name: ClassVar[str]
    plant: ClassVar[PlantKind]
    tokens: ClassVar[Literal["last", "all"]]
    reference: ClassVar[ReferenceName] = "relative"
    execution: ClassVar[ExecutionName] = "plan"

    @abstractmethod
    def solve(self, direction: Direction, system: Plant | None) -> Controller:
        """The controller for one direction.

        Args:
            direction: the feature, for `x_0 .. x_T`.
            system: the identified plant, an `LTVSystem` where `plant` is "matrices"; None where it
                is "none".
        """

    def law(self, controller: Controller) -> Law[Any]:
        """The law with feedback, as it is stepped in front of the blocks.

        Args:
            controller: what `solve` returned, perhaps saved and loaded since.
        """
        return AffineLaw(controller.H, controller.G, controller.active)

    def hyperparameters(self) -> dict[str, Any]:
        """What the method was set to, for the record."""
        return dict(vars(self))


def require_matrices(method: Method, system: Plant | None) -> LTVSystem:
    """The plant of a method that needs its matrices.

    Raises:
        InputError: there is none, or it is known by its products alone.
    """
    if not isinstance(system, LTVSystem):
        raise InputError(f"{method.name} needs an identified plant; pass one from identify().")
    return system
