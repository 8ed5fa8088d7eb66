"""What a steering method is: directions and a plant become a controller."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from steersman.control import (
    Absolute,
    AffineLaw,
    Held,
    Law,
    LTVSystem,
    Plant,
    Reference,
    Relative,
    RowsLaw,
    Target,
    Units,
)
from steersman.diagnostics import Diagnostic
from steersman.directions import Direction, Features, Natural
from steersman.errors import InputError
from steersman.gating import Gate
from steersman.methods.about import About
from steersman.plant import Site
from steersman.training import Bench

ReferenceName = Literal["relative", "absolute"]
ExecutionName = Literal["plan", "feedback"]
PlantKind = Literal["none", "products", "matrices"]
"""What a method has to know of the plant: nothing, products with it, or its matrices."""


@dataclass(frozen=True, eq=False)
class Controller:
    """The tensors of a steering law, and the schedules that its closed loop amounts to.

    The law is linear, so what several targets `tau` ask for adds up: the plan is `plan_t tau`, and
    the reference moves by `shifts_t tau`.

    Args:
        H: what is observed at each block's input, `(blocks, n, k)`.
        G: what is added at its output for each unit of error, `(blocks, n, k)`.
        plan: the inputs that moving one feature by its whole unit `v_t'c_t`, and no other, asks
            for on the averaged plant, `(blocks, n, features)`; they reach it at the output of the
            last block.
        shifts: how far one unit of a feature's relative target moves the reference of each observed
            number from its nominal value, `(blocks, k, features)`; the prefilter is in it.
        own: by name, what a law of another form is made of, of any shape; saved with the rest.
    """

    H: Float[Tensor, "blocks n k"]
    G: Float[Tensor, "blocks n k"]
    plan: Float[Tensor, "blocks n features"]
    shifts: Float[Tensor, "blocks k features"]
    own: Mapping[str, Float[Tensor, "..."]] = field(default_factory=dict)

    @classmethod
    def schedule(cls, inputs: Float[Tensor, "blocks n"]) -> "Controller":
        """One that observes nothing, and adds `target inputs_t` at the output of each block."""
        G = inputs.unsqueeze(-1)
        return cls(torch.zeros_like(G), G, G, inputs.new_ones(len(inputs), 1, 1))

    @classmethod
    def of_own(
        cls, like: Float[Tensor, "blocks n"], own: Mapping[str, Float[Tensor, "..."]]
    ) -> "Controller":
        """One of another form: its law is made of `own`, and it has no plan.

        Args:
            like: any tensor of the plant's blocks and width.
            own: what the law is made of.
        """
        nothing = torch.zeros_like(like, dtype=torch.float32).unsqueeze(-1)
        none = nothing.new_zeros(len(like), 1, 1)
        return cls(nothing, nothing, nothing, none, dict(own))

    def observes(self, features: Features) -> bool:
        """Whether what is observed are the features `V_t' x_t` themselves."""
        H, V = self.H.cpu(), features.vectors[:-1].cpu()
        return H.shape == V.shape and H.dtype == V.dtype and torch.equal(H, V)

    @property
    def active(self) -> tuple[int, ...]:
        """The blocks at which anything is ever added."""
        acts = self.G.flatten(1).any(dim=1) | self.plan.flatten(1).any(dim=1)
        return tuple(acts.nonzero().flatten().tolist())


@dataclass(frozen=True, eq=False)
class AlignedStates:
    """States of the same tokens behind a desired and behind an undesired context.

    Args:
        desired: `x_0 .. x_T` of each token behind the desired context, `(tokens, states, n)`.
        undesired: of the same tokens behind the undesired one.
        group: which pair each token is of, counted from 0, `(tokens,)`.
        context: which two contexts each token is behind; None where each pair has its own.
        continuation: which continuation each token is in; None where they are not told apart.
    """

    desired: Float[Tensor, "tokens states n"]
    undesired: Float[Tensor, "tokens states n"]
    group: Int[Tensor, " tokens"]
    context: Int[Tensor, " tokens"] | None = None
    continuation: Int[Tensor, " tokens"] | None = None

    def by_pair(self) -> tuple[Float[Tensor, "pairs states n"], Float[Tensor, "pairs states n"]]:
        """The mean over the tokens of each pair, desired and undesired."""
        counts = self.group.bincount()
        desired, undesired = (
            states.new_zeros(len(counts), *states.shape[1:]).index_add_(0, self.group, states)
            / counts[:, None, None]
            for states in (self.desired, self.undesired)
        )
        return desired, undesired


@dataclass(frozen=True, eq=False)
class Means:
    """The mean states of the two sides.

    Args:
        desired: mean `x_0 .. x_T` of the desired examples, `(states, n)`.
        undesired: the same of the undesired ones.
    """

    desired: Float[Tensor, "states n"]
    undesired: Float[Tensor, "states n"]

    @property
    def contrast(self) -> Float[Tensor, "states n"]:
        """What is still missing: mean desired minus mean undesired."""
        return self.desired - self.undesired


Read = Callable[[Float[Tensor, "blocks n"] | None], Means]
"""Reads the mean states of both sides, the undesired ones while this schedule steers them; None
steers nothing. The schedule acts at the tokens at which the finished steering does by default."""


class Sides(NamedTuple):
    """The states that one feature is read from, one row an example.

    Attributes:
        desired: `x_0 .. x_T` of every desired example.
        undesired: of every undesired one.
    """

    desired: Float[Tensor, "desired states n"]
    undesired: Float[Tensor, "undesired states n"]


class AtSite(NamedTuple):
    """What every block holds at a site, one row an example.

    Attributes:
        desired: of every desired example.
        undesired: of every undesired one.
        heads: how many attention heads lie side by side in the width; 0 where none do.
    """

    desired: Float[Tensor, "desired blocks width"]
    undesired: Float[Tensor, "undesired blocks width"]
    heads: int = 0


class Prompts(NamedTuple):
    """Whole examples as a condition on a prompt reads them.

    Attributes:
        sides: the means over each example's tokens, without special ones.
        left_out: the ids of the special ones.
    """

    sides: Sides
    left_out: tuple[int, ...]


Reread = Callable[[Controller], Sides]
"""Reads the examples' states again, the undesired ones while what was solved acts at target 1, at
the tokens at which the finished steering does by default."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a method may know.

    Args:
        features: the features with their directions, for `x_0 .. x_T`.
        plant: the identified plant, an `LTVSystem` for methods that need its matrices; None where
            a method needs none.
        aligned: states of aligned pairs; None where a method needs none.
        natural: how states differ naturally, as the method keeps it; None where it needs nothing.
        read: runs the examples again, bare or steered, at the price of a forward pass over each;
            None where there is no model to run.
        sides: the states that each feature was read from; None where they are not at hand.
        reread: reads them again under a controller; None where there is no model to run.
        classes: by name and in order, the states of examples of more than two kinds; None where
            there are the two sides alone.
        bench: the model with the examples, to train something in front of it; None where there is
            nothing to train.
        at_site: what the blocks hold where the method learns, if that is inside them; None where
            it is the residual stream, or the examples are not at hand.
        prompts: reads whole examples, for a condition on prompts; None where there is no model.
    """

    features: Features
    plant: Plant | None = None
    aligned: AlignedStates | None = None
    natural: Natural | None = None
    read: Read | None = None
    sides: tuple[Sides, ...] | None = None
    reread: Reread | None = None
    classes: Mapping[str, Float[Tensor, "examples states n"]] | None = None
    bench: Bench | None = None
    at_site: AtSite | None = None
    prompts: Callable[[], Prompts] | None = None

    @property
    def direction(self) -> Direction:
        """The direction of the only feature, for a method that steers one at a time.

        Raises:
            InputError: there are several.
        """
        return self.features.one

    def require_plant(self, method: str) -> Plant:
        """The plant, by its products.

        Raises:
            InputError: there is none.
        """
        if self.plant is None:
            raise InputError(f"{method} needs an identified plant; pass one from identify().")
        return self.plant

    def require_matrices(self, method: str) -> LTVSystem:
        """The plant, by its matrices.

        Raises:
            InputError: there is none, or it is known by its products alone.
        """
        if not isinstance(self.plant, LTVSystem):
            raise InputError(f"{method} needs an identified plant; pass one from identify().")
        return self.plant

    def require_aligned(self, method: str) -> AlignedStates:
        """The states of aligned pairs.

        Raises:
            InputError: there are none.
        """
        if self.aligned is None:
            raise InputError(
                f"{method} learns from aligned pairs, the same tokens behind two contexts: fit it "
                "from them."
            )
        return self.aligned

    def require_sides(self, method: str) -> Sides:
        """The states that the only feature was read from.

        Raises:
            InputError: they are not at hand, or there are several features.
        """
        if self.sides is None:
            raise InputError(f"{method} learns from the examples' states: fit it from examples.")
        if len(self.sides) > 1:
            raise InputError(f"{method} steers one feature at a time; fit it on one.")
        return self.sides[0]

    def where_it_learns(self, method: "Method") -> AtSite:
        """What the only feature's examples show where a method wants it, behind blocks or in them.

        Raises:
            InputError: it is not at hand, or there are several features.
        """
        sides = self.require_sides(method.name)
        if method.learns_at == "block":
            return AtSite(sides.desired[:, 1:], sides.undesired[:, 1:])
        if self.at_site is None:
            raise InputError(
                f"{method.name} learns from what the blocks hold at {method.learns_at!r}: fit it "
                "on a model, from examples."
            )
        return self.at_site

    def sides_under(self, method: str, controller: Controller | None) -> Sides:
        """The states of both sides, the undesired ones while this acts; None for nothing.

        Raises:
            InputError: they are not at hand, there are several features, or there is no model.
        """
        if controller is None:
            return self.require_sides(method)
        if self.reread is None:
            raise InputError(
                f"{method} reads the examples' states while it is fitted: fit it on a model."
            )
        return self.reread(controller)

    def require_read(self, method: str) -> Read:
        """What reads the examples' mean states.

        Raises:
            InputError: there is none.
        """
        if self.read is None:
            raise InputError(
                f"{method} reads the examples' states while it is fitted: fit it on a model."
            )
        return self.read

    def require_prompts(self, method: str) -> Prompts:
        """Whole examples, as a condition on a prompt reads them.

        Raises:
            InputError: there is no model to run.
        """
        if self.prompts is None:
            raise InputError(f"{method} reads whole examples: fit it on a model.")
        return self.prompts()

    def require_bench(self, method: str) -> Bench:
        """The model with the examples, to train something in front of it.

        Raises:
            InputError: there is none.
        """
        if self.bench is None:
            raise InputError(f"{method} is trained in front of a model: fit it on a model.")
        return self.bench


class Settled(NamedTuple):
    """A method with its choices made, and what was found out on the way."""

    method: "Method"
    diagnostics: tuple[Diagnostic, ...] = ()


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
