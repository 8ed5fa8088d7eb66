"""Activation transport: the undesired states' distribution moved onto the desired ones'."""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import DiagonalField
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.acting import acting
from steersman.methods.amount import Amount
from steersman.methods.base import Method, PlantKind
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence, Sides

FAR = torch.finfo(torch.float32).max
"""What no coordinate lies beyond; a stored tensor holds no infinity."""
FLAT = 1e-4
"""Below this standard deviation a coordinate counts as constant, as in the published code."""


@dataclass(frozen=True)
class MeanAcT(Method):
    """`y <- y + target (mean desired - mean undesired)` behind every block: the means are moved.

    One after the other, the means are read again while the blocks before are steered, so that a
    block makes up for what those before it have left and does not repeat it: at target 1 the
    undesired examples' mean state becomes the desired ones' behind every block. It is PID Steering
    with a proportional gain of one. It depends on no state, so it is a plan.

    Args:
        blocks: which blocks act; empty is all of them.
        incremental: whether the means are read again; otherwise every block adds its whole
            contrast, and their sum overshoots several times.

    Source:
        Controlling Language and Diffusion Models by Transporting Activations (arXiv 2410.23054),
        https://github.com/apple/ml-act, where outputs of normalisation layers are moved.
    """

    name: ClassVar[str] = "mean-act"
    about: ClassVar[About] = About(
        paper="Mean-AcT, arXiv 2410.23054",
        direction="mean difference, read again",
        setpoint="offset",
        controller="none",
        verified="the formula written out",
        site="block output",
        rereads=True,
    )
    plant: ClassVar[PlantKind] = "none"
    tokens: ClassVar[Literal["last", "all"]] = "all"
    in_units: ClassVar[bool] = False

    blocks: tuple[int, ...] = ()
    incremental: bool = True

    def solve(self, evidence: Evidence) -> Controller:
        """The schedule, block after block.

        Raises:
            InputError: nothing to read from, or a block that does not exist.
        """
        read = evidence.require_read(self.name)
        inputs = torch.zeros_like(evidence.direction.contrast[:-1], dtype=torch.float32)
        for block in acting(self.blocks, len(inputs)):
            means = read(inputs if self.incremental else None)
            inputs[block] = means.contrast[block + 1]
        return Controller.schedule(inputs)


@dataclass(frozen=True)
class LinearAcT(Amount):
    """`y <- target (omega y + beta) + (1 - target) y` behind every block, for each coordinate.

        minimise  sum_i (omega x_(i) + beta - y_(i))^2        x_(i), y_(i) sorted, by coordinate

    That is the linear map nearest to the optimal transport from the undesired states `x` to the
    desired ones `y`, one coordinate at a time: pairs do not matter, only the two distributions do.
    One after the other, the undesired states are read again while the maps before act. At target 1
    the coordinates' means become the desired ones', and their spread too as far as the shape of the
    two distributions allows; 0 leaves every bit.

    A coordinate outside the values that the undesired examples have taken is left alone.

    Args:
        blocks: which blocks act; empty is all of them.
        incremental: whether states are read again; otherwise maps repeat each other.
        support: the quantiles of the undesired states between which a coordinate is moved; None
            moves it everywhere. Published is the whole range for this map.

    Source:
        Controlling Language and Diffusion Models by Transporting Activations (arXiv 2410.23054),
        https://github.com/apple/ml-act, where outputs of normalisation layers are moved, and states
        are means over an example's tokens: fit with positions="all" for that.
    """

    name: ClassVar[str] = "linear-act"
    about: ClassVar[About] = About(
        paper="Linear-AcT, arXiv 2410.23054",
        direction="every coordinate, read again",
        setpoint="affine map of each coordinate",
        controller="diagonal",
        verified="sorted samples matched in numpy",
        site="block output",
        rereads=True,
    )

    blocks: tuple[int, ...] = ()
    incremental: bool = True
    support: tuple[float, float] | None = (0.0, 1.0)

    def solve(self, evidence: Evidence) -> Controller:
        """The maps, block after block.

        Raises:
            InputError: no states to learn from, a block that does not exist, or quantiles that are
                none.
        """
        if self.support is not None and not 0 <= self.support[0] < self.support[1] <= 1:
            raise InputError(f"support is {self.support}; give two quantiles, the lower one first.")
        direction = evidence.direction
        acts = acting(self.blocks, direction.blocks)
        found = Controller.of_own(direction.contrast[:-1], _nothing(direction.contrast[:-1]))
        for block in acts:
            again = self.incremental and block != acts[0]
            sides = evidence.sides_under(self.name, found if again else None)
            own = {name: tensor.clone() for name, tensor in found.own.items()}
            for name, value in self._map(sides, block).items():
                own[name][block] = value.float()
            found = Controller.of_own(direction.contrast[:-1], own)
        return found

    def law(self, controller: Controller) -> DiagonalField:
        """The maps."""
        own = controller.own
        return DiagonalField(own["omega"], own["beta"], own["low"], own["high"])

    def _map(self, sides: Sides, block: int) -> dict[str, Float[Tensor, " n"]]:
        desired, undesired = (side[:, block + 1].double() for side in sides)
        found = transport(undesired, desired)
        high = torch.full_like(found.omega, FAR)
        low = -high
        if self.support is not None:
            asked = torch.tensor(self.support, dtype=undesired.dtype)
            low, high = torch.quantile(undesired, asked, dim=0)
        return {"omega": found.omega, "beta": found.beta, "low": low, "high": high}


class Transport(NamedTuple):
    """`y = omega x + beta`, coordinate by coordinate.

    Attributes:
        omega: slopes, never below zero, `(n,)`.
        beta: what is added.
    """

    omega: Float[Tensor, " n"]
    beta: Float[Tensor, " n"]


def transport(source: Float[Tensor, "source n"], target: Float[Tensor, "target n"]) -> Transport:
    """The linear map nearest to the monotone transport of each coordinate.

    Samples of different sizes are matched by quantiles, as many as the smaller one has. A
    coordinate that hardly varies in the source is shifted.

    Args:
        source: samples, float64.
        target: samples of the same width.
    """
    count = min(len(source), len(target))
    x, y = (_sorted(side, count) for side in (source, target))
    dx, dy = x - x.mean(0), y - y.mean(0)
    varies = dx.square().mean(0).sqrt() > FLAT
    omega = torch.where(varies, (dx * dy).sum(0) / dx.square().sum(0).clamp_min(FLAT**2), 1.0)
    return Transport(omega, y.mean(0) - omega * x.mean(0))


def _sorted(side: Float[Tensor, "rows n"], count: int) -> Float[Tensor, "count n"]:
    """In order, by coordinate; of more than are wanted, interpolated between the extremes."""
    ordered = side.sort(dim=0).values
    if len(ordered) == count:
        return ordered
    if count == 1:
        return ordered.mean(0, keepdim=True)
    return torch.quantile(ordered, torch.linspace(0, 1, count, dtype=side.dtype), dim=0)


def _nothing(like: Float[Tensor, "blocks n"]) -> dict[str, Float[Tensor, "blocks n"]]:
    """Maps that leave everything alone."""
    still = torch.zeros_like(like, dtype=torch.float32)
    edge = torch.full_like(still, FAR)
    return {"omega": still + 1, "beta": still, "low": -edge, "high": edge}
