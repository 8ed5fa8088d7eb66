"""The first principal component of what sets desired and undesired examples apart."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.directions.observer import Observer
from steersman.directions.subspace import principal_axes, upwards
from steersman.errors import InputError

Of = Literal["differences", "states"]


@dataclass(frozen=True)
class PrincipalComponent(Observer):
    """`v`: the leading eigenvector of the second moment of paired differences, or of all states.

        differences   mean_i d_i d_i',   d_i = x_i | desired - x_i | undesired
        states        mean_i (x_i - m)(x_i - m)',   m the mean of all states, of both sides

    No mean is taken off the differences: that would take off the contrast itself. Taking the mean
    of each pair off its two states and then the component of all of them gives the same `v`, as
    those states are `d_i/2` and `-d_i/2`; so does swapping the sides of pairs at random, as
    published, and then taking off the mean, up to what is left of it by chance.

    A component has no sign of its own. It is that of the difference of the means, so that desired
    examples lie above undesired ones on average; where most pairs agree with their mean it is the
    published majority over pairs as well. Its length is one.

    Args:
        of: "differences" of pairs, or "states"; sides of different sizes have no pairs, so that
            there it is "states" either way.

    Raises:
        InputError: an unknown `of`.

    Source:
        Representation Engineering (arXiv 2310.01405), section 3.1.
    """

    of: Of = "differences"

    def __post_init__(self) -> None:
        """Check what it is a component of."""
        if self.of not in ("differences", "states"):
            raise InputError(f"pca of {self.of!r}; choose differences or states.")

    @property
    def name(self) -> str:
        """The name of this rule."""
        return "pca" if self.of == "differences" else "pca:states"

    def read(
        self, desired: Float[Tensor, "desired n"], undesired: Float[Tensor, "undesired n"]
    ) -> Float[Tensor, " n"]:
        """The component; zero where there is no difference at all."""
        paired = self.of == "differences" and len(desired) == len(undesired)
        if paired:
            found = principal_axes(desired - undesired, 1, centre=False)
        else:
            found = principal_axes(torch.cat([desired, undesired]), 1)
        if not len(found.sizes):
            return torch.zeros_like(desired[0])
        return upwards(found.axes[:, 0], desired.mean(0) - undesired.mean(0))
