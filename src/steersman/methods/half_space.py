"""Steering only where a probe says so: a uniform offset, a projection and a reflection."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import Law, Within, clamped, mirrored
from steersman.directions import Probe
from steersman.methods.about import About
from steersman.methods.acting import in_the_middle
from steersman.methods.amount import Amount
from steersman.methods.base import Method, PlantKind
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence
from steersman.methods.probed import Probed, probed


@dataclass(frozen=True)
class SwFC(Method):
    """Steering with a fixed coefficient: `y <- y + target/m (mu+ - mu-) v`, uniform, at `m` blocks.

    `v` is a logistic probe's unit vector behind each block, `mu+` and `mu-` the means of `v'x` over
    the desired and the undesired examples. The published coefficient is a number per block that is
    tuned; here target 1 is the distance of the two means, shared out among the blocks that act, as
    what is added at one is still there at the next. It pushes every token, aligned or not. It
    depends on no state, so it is a plan.

    Args:
        blocks: which blocks act; empty is the middle third. Published is "a band of mid layers",
            which one was not found out.
        ridge: the probe's; None chooses it.

    Source:
        arXiv 2604.08169. Published for generated tokens: use tokens="last", which steers these and
        the prompt's last one.
    """

    name: ClassVar[str] = "swfc"
    about: ClassVar[About] = About(
        paper="SwFC, arXiv 2604.08169",
        direction="logistic probe",
        setpoint="offset",
        controller="none",
        verified="the formula written out",
        site="block output",
    )
    plant: ClassVar[PlantKind] = "none"
    tokens: ClassVar[Literal["last", "all"]] = "last"
    in_units: ClassVar[bool] = False

    blocks: tuple[int, ...] = ()
    ridge: float | None = None

    def solve(self, evidence: Evidence) -> Controller:
        """The schedule.

        Raises:
            InputError: no states to learn from, or a block that does not exist.
        """
        found, acts = _probes(self, evidence, self.blocks, self.ridge)
        share = (found.desired - found.undesired) / len(acts)
        return Controller.schedule((share[:, None] * found.v).float())


@dataclass(frozen=True)
class _Thresholded(Amount):
    """What projection and reflection have in common: they act where `v'x < tau` alone.

    Args:
        blocks: which blocks act; empty is the middle third.
        sigmas: `tau = mu+ - sigmas sigma+`, so many standard deviations below the desired mean;
            None is the probe's boundary.
        ridge: the probe's; None chooses it.
    """

    tokens: ClassVar[Literal["last", "all"]] = "last"

    blocks: tuple[int, ...] = ()
    sigmas: float | None = None
    ridge: float | None = None

    def solve(self, evidence: Evidence) -> Controller:
        """Direction, threshold and the two places that a state can be sent to.

        Raises:
            InputError: no states to learn from, or a block that does not exist.
        """
        found, _ = _probes(self, evidence, self.blocks, self.ridge)
        below = found.boundary if self.sigmas is None else self._below(found, self.sigmas)
        own = {
            "v": found.v.float(),
            "threshold": below.float(),
            "boundary": found.boundary.float(),
            "desired": found.desired.float(),
        }
        return Controller.of_own(own["v"], own)

    @staticmethod
    def _below(found: Probed, sigmas: float) -> Float[Tensor, " blocks"]:
        return found.desired - sigmas * found.spread


@dataclass(frozen=True)
class StTP(_Thresholded):
    """Projection to the aligned mean: `y <- y + target (mu+ - v'y) v` where `v'y < tau`.

    At target 1 a token whose projection lies below the threshold is sent to the desired mean, and
    one above is left alone. Target 0 leaves every bit.

    Args:
        blocks: which blocks act; empty is the middle third.
        sigmas: `tau = mu+ - sigmas sigma+`; None is the probe's boundary. Which threshold was
            published was not found out; the boundary is the plainest reading.
        ridge: the probe's; None chooses it.

    Source:
        arXiv 2604.08169, for generated tokens.
    """

    name: ClassVar[str] = "sttp"
    about: ClassVar[About] = About(
        paper="StTP, arXiv 2604.08169",
        direction="logistic probe",
        setpoint="mean of the desired, where below",
        controller="exact, one-sided",
        verified="the formula written out",
        site="block output",
    )

    def law(self, controller: Controller) -> Law[Any]:
        """The projection, below the threshold."""
        own = controller.own
        return Within.below(clamped(own["v"], own["desired"]), own["v"], own["threshold"])


@dataclass(frozen=True)
class StMP(_Thresholded):
    """Reflection in the boundary: `y <- y + target 2 (c - v'y) v` where `v'y < tau`.

    At target 1 a token below the threshold becomes its mirror image on the desired side, as far
    beyond the boundary `c` as it was short of it; at 0.5 it is sent to the boundary, at 0 every bit
    is left. Where the threshold is the boundary, no token that was sent across is sent back.

    Args:
        blocks: which blocks act; empty is the middle third.
        sigmas: `tau = mu+ - sigmas sigma+`, but at most `c`, because a token between the two would
            be sent back; None is `c` itself, the probe's boundary.
        ridge: the probe's; None chooses it.

    Source:
        arXiv 2604.08169; one second-hand account says "reflection and interpolation", which is a
        target between 0 and 1.
    """

    name: ClassVar[str] = "stmp"
    about: ClassVar[About] = About(
        paper="StMP, arXiv 2604.08169",
        direction="logistic probe",
        setpoint="mirror image, where below",
        controller="exact, one-sided",
        verified="the formula written out; an involution",
        site="block output",
        unmoved="1 to 2 points, within chance; it acts only below the boundary of the sides",
    )

    def law(self, controller: Controller) -> Law[Any]:
        """The reflection, below the threshold."""
        own = controller.own
        below = torch.minimum(own["threshold"], own["boundary"])
        return Within.below(mirrored(own["v"], own["boundary"]), own["v"], below)


def _probes(
    method: Method, evidence: Evidence, blocks: tuple[int, ...], ridge: float | None
) -> tuple[Probed, tuple[int, ...]]:
    """The probe of each block that acts, and which these are."""
    sides = evidence.require_sides(method.name)
    acts = in_the_middle(blocks, evidence.direction.blocks)
    return probed(sides, Probe(ridge), acts), acts
