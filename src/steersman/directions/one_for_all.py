"""One direction for all states: the candidate that the others resemble, or the longest."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from steersman.directions.observer import MeanDifference, Observer, read_states
from steersman.errors import InputError

By = Literal["sim", "norm"]


@dataclass(frozen=True)
class OneForAll(Observer):
    """Every state's own direction is a candidate; one of them serves at every state.

        sim    the candidate with the largest mean cosine to all of them
        norm   the longest

    The earliest of equals is taken. Of length one; a state at which desired examples do not lie
    above undesired ones along it has no feature, and nothing is pushed there.

    Args:
        by: "sim" or "norm".
        of: what reads the candidates.

    Raises:
        InputError: an unknown `by`.

    Source:
        Angular Steering (arXiv 2510.26243), the first axis of its plane.
    """

    by: By = "sim"
    of: Observer = field(default_factory=MeanDifference)

    def __post_init__(self) -> None:
        """Check how the candidate is chosen."""
        if self.by not in ("sim", "norm"):
            raise InputError(f"by is {self.by!r}; choose sim or norm.")

    @property
    def name(self) -> str:
        """The name of this rule."""
        return f"max-{self.by}" if self.of == MeanDifference() else f"{self.of.name}|max-{self.by}"

    def read(
        self, desired: Float[Tensor, "desired n"], undesired: Float[Tensor, "undesired n"]
    ) -> Float[Tensor, " n"]:
        """The only candidate that one state has."""
        return self.of.read(desired, undesired)

    def read_each(
        self,
        desired: Float[Tensor, "desired states n"],
        undesired: Float[Tensor, "undesired states n"],
        where: Bool[Tensor, " states"],
    ) -> Float[Tensor, "states n"]:
        """The chosen candidate at every state, zeros where not asked.

        Args:
            desired: states of the desired examples.
            undesired: of the undesired ones.
            where: at which states; these are the candidates as well.
        """
        candidates = read_states(self.of, desired, undesired, where)
        units = torch.nn.functional.normalize(candidates, dim=-1)
        worth = units @ units.sum(0) if self.by == "sim" else candidates.norm(dim=-1)
        there = candidates.any(-1)
        best = int(worth.masked_fill(~there, -torch.inf).argmax())
        return units[best].expand_as(units).masked_fill(~where.unsqueeze(-1), 0.0)
