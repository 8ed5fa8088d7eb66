"""What a steering method is: directions and a plant become a controller."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import (
    Absolute,
    AffineLaw,
    Held,
    Law,
    Reference,
    Relative,
    RowsLaw,
    Target,
    Units,
)
from steersman.diagnostics import Diagnostic
from steersman.directions import Features, Natural
from steersman.errors import InputError
from steersman.gating import Gate
from steersman.methods.about import About
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence
from steersman.plant import Site

ReferenceName = Literal["relative", "absolute"]
ExecutionName = Literal["plan", "feedback"]
PlantKind = Literal["none", "products", "matrices"]
"""What a method has to know of the plant: nothing, products with it, or its matrices."""


class Settled(NamedTuple):
    """A method with its choices made, and what was found out on the way.

    Attributes:
        method: the method.
        diagnostics: for the record.
        controller: what it would solve, where the choices took the same work; None where not.
    """

    method: "Method"
    diagnostics: tuple[Diagnostic, ...] = ()
    controller: Controller | None = None

    def solved(self, evidence: Evidence) -> Controller:
        """What the method finds; nothing is worked out twice.

        Args:
            evidence: the same that it was settled on.
        """
        return self.controller or self.method.solve(evidence)


class Method(ABC):
    """A named way to a controller; a frozen dataclass whose fields are its hyper-parameters.

    A new method is one file with one subclass and a line in `methods/__init__.py`.
    """

    name: ClassVar[str]
    about: ClassVar[About]
    plant: ClassVar[PlantKind]
    tokens: ClassVar[str]
    """At which tokens it acts, by the name of a rule: "last", "all", "prompt:first:2+last:2"..."""
    direction: ClassVar[str] = "mean"
    """Along which direction, where a fit names none: the name of a rule."""
    positions: ClassVar[str | None] = None
    """Where contrastive examples are read, where a fit does not say; None leaves it to them."""
    aligned: ClassVar[bool] = False
    """Whether it learns from states of aligned pairs, beyond the direction."""
    several: ClassVar[bool] = False
    """Whether it steers several features together."""
    in_units: ClassVar[bool] = True
    """Whether one unit of target is one natural unit of the feature after the last block."""
    trains: ClassVar[bool] = False
    """Whether it runs the model with the examples while it is fitted."""
    needs_autoencoder: ClassVar[bool] = False
    """Whether it reads the features of an autoencoder, so that its name alone is not enough."""
    matches: ClassVar[bool] = True
    """Whether by default it acts only at the tokens that the examples were read at, if few."""
    reference: ClassVar[ReferenceName] = "relative"
    execution: ClassVar[ExecutionName] = "plan"

    @property
    def site(self) -> Site:
        """Where in each block its law reads and acts: the residual stream, or inside the block."""
        return "block"

    @property
    def learns_at(self) -> Site:
        """Where in each block the examples are read for it: where it acts, unless it says more."""
        return self.site

    @abstractmethod
    def solve(self, evidence: Evidence) -> Controller:
        """The controller for the features.

        Args:
            evidence: the directions, and what else the method says that it needs.
        """

    def natural(
        self,
        desired: Float[Tensor, "desired states n"],
        undesired: Float[Tensor, "undesired states n"],
    ) -> Natural | None:
        """What the method has to know, and keep, of how the two sides of a feature differ."""
        return None

    def settled(self, evidence: Evidence) -> Settled:
        """The same method with every choice made that it leaves to the evidence."""
        return Settled(self)

    def gated(self, evidence: Evidence) -> Gate:
        """For which prompts, and at which tokens that only the evidence tells, it acts.

        Args:
            evidence: as for `solve`.
        """
        return Gate()

    def columns(self, features: int) -> int:
        """How many columns its products with the plant have at a time, about.

        Args:
            features: how many are steered.
        """
        return features

    def relative(self, strength: Target, controller: Controller) -> tuple[Reference, Units]:
        """Where feedback wants what it observes, relative to what the token shows unsteered."""
        return Relative(strength), Units.shifts(controller.shifts)

    def absolute(
        self, strength: Target, controller: Controller, features: Features
    ) -> tuple[Reference, Units]:
        """Where feedback wants what it observes, whatever the token shows unsteered.

        Raises:
            InputError: what it observes has no absolute setpoint, or not at this strength.
        """
        if controller.observes(features):
            return Absolute(strength), Units(features.norm[:-1], features.origin[:-1])
        return self.held(strength, controller)

    def held(self, strength: Target, controller: Controller) -> tuple[Reference, Units]:
        """An absolute setpoint for a law that does not observe the features: the change it takes.

        Raises:
            InputError: the law is not asked for changes either.
        """
        relative, units = self.relative(strength, controller)
        if not isinstance(relative, Relative):
            raise InputError(
                f"{self.name} does not observe the feature itself, so it knows no absolute "
                "setpoint; use reference='relative'."
            )
        return Held(strength), units

    def law(self, controller: Controller) -> Law[Any]:
        """The law with feedback, as it is stepped in front of the blocks.

        Args:
            controller: what `solve` returned, perhaps saved and loaded since.
        """
        return AffineLaw(controller.H, controller.G, controller.active)

    def law_of_rows(self, controllers: Sequence[Controller]) -> Law[Any]:
        """One law for the rows of a batch, of which each has a controller of its own.

        Args:
            controllers: what `solve` returned for each row.
        """
        H, G = (torch.stack([getattr(one, name) for one in controllers]) for name in ("H", "G"))
        return RowsLaw(H, G)

    def hyperparameters(self) -> dict[str, Any]:
        """What the method was set to, for the record."""
        return dict(vars(self))
