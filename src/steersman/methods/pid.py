"""Feedback of one feature by fixed gains: S-PID, and its proportional form."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

from steersman.control import Law, PIDLaw, plan, prefilter, reached
from steersman.methods.about import About
from steersman.methods.acting import numbered
from steersman.methods.base import Method, PlantKind
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence


@dataclass(frozen=True)
class SPID(Method):
    """S-PID: the feature's error, its sum and its difference over the blocks, by fixed gains.

        u_t = (kp e_t + ki sum_{i<=t} e_i + kd (e_t - e_{t-1})) p_t,    e_t = s_t - v_t' x_t

    `p_t = c_t / v_t'c_t` is `v_t` where the contrast itself is observed. The law needs no plant;
    the plant is asked how far the closed loop moves the feature, so that a relative target is in
    natural units here too, and for the plan. Sum and difference start anew with every forward
    pass, and the sum waits where the input is held back.

    Args:
        kp: gain of the error.
        ki: gain of its sum.
        kd: gain of its difference.
        cap: the longest input relative to the state; None is no cap. A plan knows no cap.
        blocks: which blocks may act, by number or as "top:K", "probe:K" or "opposed" by what the
            examples show; empty is all of them.

    Source:
        A-LQR (arXiv 2604.19018), the baseline S-PID.
    """

    name: ClassVar[str] = "s-pid"
    about: ClassVar[About] = About(
        paper="S-PID in A-LQR, arXiv 2604.19018",
        direction="observer",
        setpoint="relative; absolute; lambda",
        controller="PID over blocks",
        verified="sums written out",
    )
    plant: ClassVar[PlantKind] = "products"
    tokens: ClassVar[Literal["last", "all"]] = "last"

    kp: float = 0.1
    ki: float = 0.1
    kd: float = 0.0
    cap: float | None = None
    blocks: str | tuple[int, ...] = ()

    def solve(self, evidence: Evidence) -> Controller:
        """The loop's prefilter and plan on the averaged plant.

        Raises:
            InputError: no plant, or gains or blocks that cannot be.
            NumericalError: the loop cannot move the feature, or diverges.
        """
        direction, system = evidence.direction, evidence.require_plant(self.name)
        v, p, blocks = direction.vectors[:-1], direction.patterns[:-1], numbered(self.blocks)
        asked = direction.norm[:-1, None, None]
        nominal = PIDLaw(v, self.kp, self.ki, self.kd, None, blocks or None, p)
        answer = reached(system, plan(system, nominal, asked), direction.vectors[-1:].mT)
        shifts = asked @ prefilter(answer, direction.norm[-1:])
        acts = torch.zeros(len(v), 1)
        acts[list(blocks) if blocks else slice(None)] = 1
        return Controller(
            H=v.unsqueeze(-1),
            G=(acts * p).unsqueeze(-1),
            plan=plan(system, nominal, shifts),
            shifts=shifts,
        )

    def law(self, controller: Controller) -> Law[Any]:
        """The stateful law, as it is stepped in front of the blocks."""
        v, p = controller.H.squeeze(-1), controller.G.squeeze(-1)
        return PIDLaw(v, self.kp, self.ki, self.kd, self.cap, controller.active, p)

    def law_of_rows(self, controllers: Sequence[Controller]) -> Law[Any]:
        """The same for every row: its gains are fixed, and only the shifts are the row's own."""
        return self.law(controllers[0])


@dataclass(frozen=True)
class ProportionalAddition(SPID):
    """ActAdd-LFS: the feature's error alone, at chosen blocks.

    Args:
        kp: gain of the error; 1 closes it at once, were the blocks the identity.
        ki: none.
        kd: none.
        cap: the longest input relative to the state; None is no cap.
        blocks: which blocks may act, by number or as "top:K", "probe:K" or "opposed" by what the
            examples show; empty is all of them.

    Source:
        A-LQR (arXiv 2604.19018), the baseline ActAdd with a linear feature setpoint.
    """

    name: ClassVar[str] = "actadd-lfs"
    about: ClassVar[About] = About(
        paper="ActAdd-LFS in A-LQR, arXiv 2604.19018",
        direction="observer",
        setpoint="relative; absolute; lambda",
        controller="proportional",
        verified="sums written out",
    )

    kp: float = 1.0
    ki: float = 0.0
