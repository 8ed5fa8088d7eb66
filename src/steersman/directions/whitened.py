"""The whitened observer: the contrast seen in the metric of the states' own spread."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.directions.covariance import shrunk_covariance
from steersman.directions.observer import Observer, centred, require_several
from steersman.errors import InputError


@dataclass(frozen=True)
class Whitened(Observer):
    """`v ~ S^-1 c`: of all linear observers the one with the largest d', for normal states.

        S = (1 - d) X'X/N + d m I        X the examples minus the means of their sides

    A direction in which states vary much, whatever the side, says little of the side and counts
    less. Solved by the inner products of the examples where there are fewer of them than
    coordinates.

    Args:
        shrinkage: `d`, between 0 and 1; None is that of Ledoit and Wolf.

    Raises:
        InputError: a shrinkage that is not between 0 and 1.

    Source:
        Fisher, The use of multiple measurements in taxonomic problems (1936); Ledoit and Wolf
        (2004), for the shrinkage.
    """

    shrinkage: float | None = None

    def __post_init__(self) -> None:
        """Check the shrinkage."""
        if self.shrinkage is not None and not 0 <= self.shrinkage <= 1:
            raise InputError(f"shrinkage is {self.shrinkage}; it must be between 0 and 1.")

    @property
    def name(self) -> str:
        """The name of this rule."""
        return "whitened" if self.shrinkage is None else f"whitened:{self.shrinkage:g}"

    def read(
        self, desired: Float[Tensor, "desired n"], undesired: Float[Tensor, "undesired n"]
    ) -> Float[Tensor, " n"]:
        """The contrast, whitened; as it is where states vary within no side.

        Raises:
            InputError: one example of each side.
            NumericalError: a singular covariance that is not shrunk.
        """
        require_several(desired, undesired, self.name)
        c, apart = (
            desired.mean(0) - undesired.mean(0),
            torch.cat([centred(desired), centred(undesired)]),
        )
        if not bool(apart.any()):
            return c
        return shrunk_covariance(apart, self.shrinkage).solve(c.unsqueeze(0))[0]
