"""The model's own basis: the axis of its states along which the sides lie furthest apart."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.directions.observer import Observer, centred, require_several
from steersman.directions.subspace import principal_axes, upwards
from steersman.errors import InputError

MOST = 16


@dataclass(frozen=True)
class NativeAxis(Observer):
    """One right singular vector of the examples' states, taken as a direction.

        X = U S B',    v = b_j,    X the states of both sides minus their common mean

    What is steered is then something the model varies by itself, at the price that no axis need be
    the behaviour. The states are those that are read: of whole answers with
    `positions="response"`, each the mean over its tokens.

    The axis is number `axis`, or the one with the largest d' in sample among the first `most`. Its
    sign is that of the difference of the means, its length one.

    Args:
        axis: from 0; None chooses.
        most: among how many.

    Raises:
        InputError: a number that cannot be.

    Source:
        Characterising model-native skills (arXiv 2604.17614), of which only the abstract was read:
        singular vectors are our reading of its basis. How an axis is chosen is ours; there they are
        tried out one by one.
    """

    axis: int | None = None
    most: int = MOST

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.most < 1 or (self.axis is not None and self.axis < 0):
            raise InputError(f"axis is {self.axis} of {self.most}; give axis >= 0 and most >= 1.")

    @property
    def name(self) -> str:
        """The name of this rule."""
        return "native" if self.axis is None else f"native:{self.axis}"

    def read(
        self, desired: Float[Tensor, "desired n"], undesired: Float[Tensor, "undesired n"]
    ) -> Float[Tensor, " n"]:
        """The axis; zero where the states have no such axis.

        Raises:
            InputError: one example of each side.
        """
        require_several(desired, undesired, self.name)
        number = self.most if self.axis is None else self.axis + 1
        space = principal_axes(torch.cat([desired, undesired]), number)
        if len(space.sizes) < (1 if self.axis is None else number):
            return torch.zeros_like(desired[0])
        c = desired.mean(0) - undesired.mean(0)
        best = number - 1
        if self.axis is None:
            within = torch.cat([centred(desired), centred(undesired)])
            spread = space.coordinates(within).square().mean(0).sqrt()
            floor = space.sizes * torch.finfo(c.dtype).eps ** 0.5
            best = int(((c @ space.axes).abs() / torch.maximum(spread, floor)).argmax())
        return upwards(space.axes[:, best], c)
