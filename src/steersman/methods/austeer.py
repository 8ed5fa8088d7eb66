"""AUSteer: single coordinates of what the blocks hold, multiplied."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import DiagonalField
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.amount import Amount
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence
from steersman.plant import Site


@dataclass(frozen=True)
class AUSteer(Amount):
    """`y_j <- (1 + target alpha beta_j) y_j` for the few coordinates that differ most reliably.

        n> , n< : pairs whose desired state is above, or below, the undesired one at (block, j)
        beta = sign max(n>, n<) / pairs        sign = -1 where n> < n<, else +1

    The coordinates of all blocks are ranked together by `|beta|`, and the first `k` act. Because a
    coordinate is multiplied, one that is zero stays zero, and whether a gain raises or lowers it is
    a matter of its sign at that token. One unit of target is the published strength `alpha`; 0
    leaves every bit. Many coordinates can share the largest `|beta|`: of equals, those of earlier
    blocks are taken.

    Args:
        k: how many coordinates.
        site: what the coordinates are of: a block's output, "heads" or "mlp", the three published
            ones, or another place in the block.
        alpha: the strength. Published values go from 8 to 100, with k from 2 to 100, tuned for each
            task and model: calibrate on examples of your own.

    Source:
        AUSteer, https://github.com/zijian678/AUSteer, with its defaults.
    """

    name: ClassVar[str] = "austeer"
    about: ClassVar[About] = About(
        paper="AUSteer",
        direction="coordinates that differ reliably",
        setpoint="gain of each coordinate",
        controller="diagonal",
        verified="the formula written out",
        site="block output or inside",
        unmoved="5 to 8 points as asked, within chance after the correction",
    )

    k: int = 10
    alpha: float = 5.0
    site: Site = "block"

    def solve(self, evidence: Evidence) -> Controller:
        """The slopes of the chosen coordinates.

        Raises:
            InputError: no pairs to learn from, or no coordinates to choose.
        """
        sides = evidence.where_it_learns(self)
        if len(sides.desired) != len(sides.undesired):
            raise InputError(
                f"{self.name} compares the two sides of each pair, and there are "
                f"{len(sides.desired)} desired and {len(sides.undesired)} undesired examples."
            )
        beta = momentum(sides.desired, sides.undesired)
        if not 1 <= self.k <= beta.numel():
            raise InputError(f"k is {self.k}; there are {beta.numel()} coordinates.")
        order = beta.abs().flatten().sort(descending=True, stable=True).indices
        chosen = torch.zeros_like(beta).flatten()
        chosen[order[: self.k]] = 1
        omega = (1 + self.alpha * chosen.view_as(beta) * beta).float()
        return Controller.of_own(omega, {"omega": omega})

    def law(self, controller: Controller) -> DiagonalField:
        """The gains."""
        omega = controller.own["omega"]
        return DiagonalField(omega, torch.zeros_like(omega))


def momentum(
    desired: Float[Tensor, "pairs blocks width"], undesired: Float[Tensor, "pairs blocks width"]
) -> Float[Tensor, "blocks width"]:
    """`beta` of every coordinate of every block, between -1 and 1, float64.

    Args:
        desired: what the desired example of each pair shows.
        undesired: the undesired one.
    """
    above = (desired > undesired).double().mean(0)
    below = (desired < undesired).double().mean(0)
    return torch.where(above < below, -below, above)
