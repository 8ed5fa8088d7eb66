"""Frozen rules that turn the states of two sides into a direction to observe, or to push, along."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from steersman.errors import InputError


class Observer(ABC):
    """Reads one state's direction from desired and undesired examples.

    Observing and acting are different jobs. What moves a state as the desired examples move is the
    contrast; what tells the sides apart best is not, where states vary much more in some directions
    than in others.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The name `observer_named` makes this rule from."""

    def __str__(self) -> str:
        """The name."""
        return self.name

    @abstractmethod
    def read(
        self, desired: Float[Tensor, "desired n"], undesired: Float[Tensor, "undesired n"]
    ) -> Float[Tensor, " n"]:
        """A direction of any length, along which desired examples lie above undesired ones.

        Args:
            desired: the desired examples' states, float64; with as many of the other side, example
                `i` belongs to example `i` there.
            undesired: the undesired ones' states.

        Returns:
            The direction, float64; zero where there is none.
        """

    def read_each(
        self,
        desired: Float[Tensor, "desired states n"],
        undesired: Float[Tensor, "undesired states n"],
        where: Bool[Tensor, " states"],
    ) -> Float[Tensor, "states n"]:
        """A direction for every state; each on its own, unless a rule looks at all of them.

        Args:
            desired: states of the desired examples.
            undesired: of the undesired ones.
            where: at which states; zeros at the others.
        """
        found = torch.zeros(desired.shape[1:], dtype=torch.float64)
        for state in where.nonzero().flatten().tolist():
            sides = (side[:, state].double() for side in (desired, undesired))
            found[state] = self.read(*sides)
        return found


@dataclass(frozen=True)
class MeanDifference(Observer):
    """`v ~ c`, the difference of the means: best where states vary alike in all directions."""

    @property
    def name(self) -> str:
        """The name of this rule."""
        return "mean"

    def read(
        self, desired: Float[Tensor, "desired n"], undesired: Float[Tensor, "undesired n"]
    ) -> Float[Tensor, " n"]:
        """The difference of the means."""
        return desired.mean(0) - undesired.mean(0)


def read_states(
    observer: Observer,
    desired: Float[Tensor, "desired states n"],
    undesired: Float[Tensor, "undesired states n"],
    where: Bool[Tensor, " states"] | None = None,
) -> Float[Tensor, "states n"]:
    """What the observer reads at every state, in float64.

    Args:
        observer: the rule.
        desired: states of the desired examples.
        undesired: of the undesired ones.
        where: at which states; zeros at the others. None is all of them.
    """
    states = desired.shape[1]
    everywhere = torch.ones(states, dtype=torch.bool)
    return observer.read_each(desired, undesired, everywhere if where is None else where)


def require_several(desired: Tensor, undesired: Tensor, name: str) -> None:
    """Refuse sides of which each has one example only.

    Raises:
        InputError: nothing is known of how states vary.
    """
    if len(desired) < 2 and len(undesired) < 2:
        raise InputError(
            f"the rule {name!r} has to know how states vary, and one example of each side does not "
            "show it. Give more examples, or use 'mean'."
        )


def centred(states: Float[Tensor, "examples n"]) -> Float[Tensor, "examples n"]:
    """Every state minus their mean; exactly zero where they differ by the rounding of that mean."""
    apart = states - states.mean(0)
    rounding = 16 * torch.finfo(states.dtype).eps * states.abs().max()
    return apart.masked_fill(apart.abs() <= rounding, 0.0)
