"""AlphaSteer: a push learnt to be nothing where the desired examples lie."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import AffineField
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.acting import one_block
from steersman.methods.amount import Amount
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence


@dataclass(frozen=True)
class AlphaSteer(Amount):
    """The contrast, as much of it as a linear map of the state says, which is zero on the desired.

        y <- y + target r p(y),    p(y) = w'P y,    r = mean desired - mean undesired
        w = argmin sum_i (w'P x_i - 1)^2 + ridge s^2 N |P w|^2       x_i undesired, i = 1 .. N

    `P` projects on what the desired states hardly use: the smallest eigenvectors of their second
    moment, which hold at most a share `null` of it. So `p` is about 1 on undesired states, and
    small on desired ones by construction. The published map `W P` with `W P x_i ~ r` has this one
    rank.

    Args:
        block: where to act; -1 chooses the block whose output separates the examples best.
        null: the share of the desired states' second moment that counts as nothing.
        ridge: of the map, in units of `s^2`, the mean square of `P x_i` per axis that `P` leaves.

    Raises:
        InputError: a share or a ridge that cannot be.

    Source:
        AlphaSteer, in the form that MLLMEraser (arXiv 2510.04217) writes out, for text alone: there
        it is applied once, at the prompt's last token, and kept. The share, the ridge and the block
        are ours.
    """

    name: ClassVar[str] = "alphasteer"
    about: ClassVar[About] = About(
        paper="AlphaSteer; MLLMEraser, arXiv 2510.04217",
        direction="mean difference",
        setpoint="offset, by a map that is zero on the desired",
        controller="linear in the state",
        verified="numpy's eigenvectors and least squares",
        site="block output",
    )

    block: int = -1
    null: float = 0.01
    ridge: float = 0.01

    def __post_init__(self) -> None:
        """Check the two numbers."""
        if not 0 < self.null < 1 or not self.ridge > 0:
            raise InputError(
                f"null is {self.null} and ridge {self.ridge}; the first must be above 0 and below "
                "1, the second above 0."
            )

    def solve(self, evidence: Evidence) -> Controller:
        """The map of one block and what it multiplies.

        Raises:
            InputError: no states to learn from, a block that does not exist, or desired states that
                leave no axis over.
        """
        block = one_block(self.block, evidence.direction)
        desired, undesired = (
            side[:, block + 1].double() for side in evidence.require_sides(self.name)
        )
        basis = null_space(desired, self.null)
        if not basis.shape[1]:
            raise InputError(
                f"every axis holds more than {self.null} of the desired states: raise null."
            )
        contrast = evidence.direction.contrast
        G, H = torch.zeros_like(contrast[:-1]).float(), torch.zeros_like(contrast[:-1]).float()
        G[block] = contrast[block + 1].float()
        H[block] = (basis @ self._map(undesired @ basis)).float()
        return Controller.of_own(G, {"push": G, "map": H})

    def law(self, controller: Controller) -> AffineField:
        """`u = s r p(y)`."""
        H, G = (controller.own[name].unsqueeze(-1) for name in ("map", "push"))
        return AffineField(H, G, torch.zeros_like(G[:, 0]), "output")

    def _map(self, z: Float[Tensor, "rows m"]) -> Float[Tensor, " m"]:
        """Ridge regression of one on the coordinates."""
        moment = z.mT @ z / len(z)
        moment.diagonal().add_(self.ridge * z.square().mean().clamp_min(1e-300))
        found: Tensor = torch.linalg.solve(moment, z.mean(0))
        return found


def null_space(x: Float[Tensor, "rows n"], share: float) -> Float[Tensor, "n m"]:
    """The smallest eigenvectors of `X'X` whose eigenvalues sum to at most a share of all.

    Args:
        x: states, float64.
        share: above 0 and below 1.
    """
    values, vectors = torch.linalg.eigh(x.mT @ x)
    values = values.clamp_min(0)
    small: Tensor = vectors[:, values.cumsum(0) <= share * values.sum()]
    return small
