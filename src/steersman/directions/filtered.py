"""Directions within the subspace of a task's states, or without its largest axes."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from steersman.directions.observer import Observer
from steersman.directions.subspace import principal_axes, unless_rounding
from steersman.errors import InputError


class _Changed(Observer, ABC):
    """A rule `of` whose directions are changed by what the states of the same examples are like."""

    of: Observer

    def read(
        self, desired: Float[Tensor, "desired n"], undesired: Float[Tensor, "undesired n"]
    ) -> Float[Tensor, " n"]:
        """The changed direction; zero where nothing is left of it."""
        return self.change(self.of.read(desired, undesired), desired, undesired)

    def read_each(
        self,
        desired: Float[Tensor, "desired states n"],
        undesired: Float[Tensor, "undesired states n"],
        where: Bool[Tensor, " states"],
    ) -> Float[Tensor, "states n"]:
        """The changed direction of every state, whatever the rule itself looks at.

        Args:
            desired: states of the desired examples.
            undesired: of the undesired ones.
            where: at which states; zeros at the others.
        """
        found = self.of.read_each(desired, undesired, where)
        for state in where.nonzero().flatten().tolist():
            sides = (side[:, state].double() for side in (desired, undesired))
            found[state] = self.change(found[state], *sides)
        return found

    @abstractmethod
    def change(
        self,
        d: Float[Tensor, " n"],
        desired: Float[Tensor, "desired n"],
        undesired: Float[Tensor, "undesired n"],
    ) -> Float[Tensor, " n"]:
        """What becomes of a direction.

        Args:
            d: the direction.
            desired: one state of the desired examples, float64.
            undesired: of the undesired ones.
        """


@dataclass(frozen=True)
class Filtered(_Changed):
    """`B B' d`: what of a rule's direction lies where the task's states vary.

    `B` are the first `k` principal axes of the states of both sides minus their common mean. What
    is cut off is what a few examples show by chance in directions that states hardly use.

    Args:
        of: the rule.
        k: how many axes.

    Raises:
        InputError: `k` is below 1.

    Source:
        Manifold Steering (Huang et al., arXiv 2505.22411). Its code is not published, and whether
        the direction is taken out there or added was not found out: "ablation" takes it out,
        "activation-addition" adds it.
    """

    of: Observer
    k: int

    def __post_init__(self) -> None:
        """Check the number of axes."""
        _require_axes(self.name, self.k)

    @property
    def name(self) -> str:
        """The name of this rule."""
        return f"{self.of.name}|filter:{self.k}"

    def change(
        self,
        d: Float[Tensor, " n"],
        desired: Float[Tensor, "desired n"],
        undesired: Float[Tensor, "undesired n"],
    ) -> Float[Tensor, " n"]:
        """The part within; zero where nothing but rounding is."""
        space = principal_axes(torch.cat([desired, undesired]), self.k)
        return unless_rounding(space.kept(d), d)


@dataclass(frozen=True)
class Removed(_Changed):
    """`d - B B' d`: a rule's direction without the first `k` axes of the task's states.

    The largest axes of a residual stream often say little of any behaviour: a few huge coordinates,
    the position, the frequency of the token.

    Args:
        of: the rule.
        k: how many axes.

    Raises:
        InputError: `k` is below 1.
    """

    of: Observer
    k: int

    def __post_init__(self) -> None:
        """Check the number of axes."""
        _require_axes(self.name, self.k)

    @property
    def name(self) -> str:
        """The name of this rule."""
        return f"{self.of.name}|remove:{self.k}"

    def change(
        self,
        d: Float[Tensor, " n"],
        desired: Float[Tensor, "desired n"],
        undesired: Float[Tensor, "undesired n"],
    ) -> Float[Tensor, " n"]:
        """The part beyond; zero where nothing but rounding is left."""
        space = principal_axes(torch.cat([desired, undesired]), self.k)
        return unless_rounding(space.removed(d), d)


def _require_axes(name: str, k: int) -> None:
    if k < 1:
        raise InputError(f"{name!r} has {k} axes; give 1 or more.")
