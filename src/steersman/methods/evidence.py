"""What a method may know: states of examples, a plant, and a model to ask again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from steersman.control import LTVSystem, Plant
from steersman.directions import Direction, Features, Natural
from steersman.errors import InputError
from steersman.methods.controller import Controller
from steersman.training import Bench

if TYPE_CHECKING:
    from steersman.methods.base import Method


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
