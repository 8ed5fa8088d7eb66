"""Trajectory tracking: follow the states of another prompt."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import (
    Absolute,
    LowRankGains,
    Reference,
    Target,
    Toward,
    Units,
    low_rank_gains,
)
from steersman.directions import Features
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.base import ExecutionName, Method, PlantKind, Settled
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence


@dataclass(frozen=True)
class Tracking(Method):
    """Bring the whole state to a trajectory, and not only one feature of it.

        minimise  sum_t q|e_t|^2 + r|u_t|^2 + qf|e_T|^2,      e_t = x*_t - x_t
        u_t = G_t (s_t - H_t' x_t),   G_t H_t' ~ K_t          s_t = H_t' x*_t at target 1

    The trajectory `x*` is the mean state of the desired examples: of one prompt, the states of its
    last token. Relative to what the token shows unsteered, a target goes part of the way,
    `s_t = H_t' (xbar_t + target (x*_t - xbar_t))`; target 1 is `x*` itself whatever the token
    shows, so an absolute reference knows target 1 alone and needs no second pass.

    There is no plan, because what is to be added depends on where the token is.

    Args:
        q: weight of the error at each block input.
        r: weight of the input.
        qf: weight of the error after the last block. Only `q/r` and `qf/r` matter.
        rank: the most directions that a block keeps of its gain; None keeps all.
        tolerance: leave out directions whose singular value is at most this share of the largest.
        discarded: `sigma_t` of each block, found by the fit: the gain differs from the dense one by
            at most `sigma_t |e|`.

    Source:
        A-LQR (arXiv 2604.19018), tracking of a nominal trajectory; the low rank is ours.
    """

    name: ClassVar[str] = "tracking"
    about: ClassVar[About] = About(
        paper="A-LQR's trajectory, arXiv 2604.19018",
        direction="the whole state",
        setpoint="another trajectory",
        controller="low-rank dense LQR",
        verified="dense gains and the error bound",
    )
    plant: ClassVar[PlantKind] = "matrices"
    tokens: ClassVar[Literal["last", "all"]] = "last"
    in_units: ClassVar[bool] = False
    execution: ClassVar[ExecutionName] = "feedback"

    q: float = 1.0
    r: float = 0.1
    qf: float = 1.0
    rank: int | None = 32
    tolerance: float = 0.0
    discarded: tuple[float, ...] = ()

    def settled(self, evidence: Evidence) -> Settled:
        """With the bound on what the low rank leaves out.

        Raises:
            InputError: as in `solve`.
            NumericalError: the recursion broke down.
        """
        gains = self._gains(evidence)
        made = replace(self, discarded=tuple(gains.discarded.tolist()))
        return Settled(made, controller=self._along(gains, evidence))

    def solve(self, evidence: Evidence) -> Controller:
        """The low-rank gains, and the trajectory as they observe it.

        Raises:
            InputError: no plant, nothing to read the trajectory from, or weights, a rank or a
                tolerance that cannot be.
            NumericalError: the recursion broke down.
        """
        return self._along(self._gains(evidence), evidence)

    def controller(self, gains: LowRankGains, trajectory: Float[Tensor, "states n"]) -> Controller:
        """The controller of these gains for this trajectory.

        Args:
            gains: what is observed and what is done about it.
            trajectory: `x*_0 .. x*_T`.
        """
        goal = torch.einsum("tnk,tn->tk", gains.H, trajectory[:-1].to(gains.H))
        H, G = gains.H.float(), gains.G.float()
        return Controller(H, G, torch.zeros_like(H[..., :1]), goal.float().unsqueeze(-1))

    def relative(self, strength: Target, controller: Controller) -> tuple[Reference, Units]:
        """Part of the way from what the token shows unsteered to the trajectory."""
        return Toward(strength), Units.shifts(controller.shifts)

    def absolute(
        self, strength: Target, controller: Controller, features: Features
    ) -> tuple[Reference, Units]:
        """The trajectory itself.

        Raises:
            InputError: any other strength than 1.
        """
        if bool((torch.as_tensor(strength) != 1).any()):
            raise InputError(
                "an absolute reference of tracking is the trajectory itself, target 1; for a part "
                "of the way use reference='relative'."
            )
        return Absolute(strength), Units.shifts(controller.shifts)

    def _along(self, gains: LowRankGains, evidence: Evidence) -> Controller:
        return self.controller(gains, evidence.require_read(self.name)(None).desired)

    def _gains(self, evidence: Evidence) -> LowRankGains:
        system = evidence.require_matrices(self.name)
        return low_rank_gains(
            system, self.q, self.r, self.qf, rank=self.rank, tolerance=self.tolerance
        )
