"""Open-loop LQR: the regulator's gain on an error that nobody measures."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from steersman.control import AffineLaw, plan, prefilter, reached
from steersman.methods.about import About
from steersman.methods.alqr import ALQR
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence


@dataclass(frozen=True)
class OpenLoopLQR(ALQR):
    """A-LQR with the error fixed beforehand, from the setpoint alone.

        e_t = target |c_t|                 whatever the state is and whatever was added before
        u_t = K_t v_t N e_t

    It is not A-LQR's plan, though both are schedules. The plan is what the closed loop does on the
    averaged plant, where the error shrinks as earlier inputs arrive; here every block is given the
    whole error, as if it were the first to act, so that the inputs of all blocks add up. The
    prefilter `N` makes one unit of target move the final feature by the whole contrast, as it does
    for every other method; the published schedule, `u_t = K_t c_t`, is target `1 / N`, with `N` the
    ratio of the controller's shifts to the contrasts' lengths. Several features are told apart as
    in A-LQR.

    Source:
        A-LQR (arXiv 2604.19018), whose code evaluates `u_t = K_t c_t` without discussing it.
    """

    name: ClassVar[str] = "open-loop-lqr"
    about: ClassVar[About] = About(
        paper="the published code of A-LQR",
        direction="observer",
        setpoint="its own contrast",
        controller="dense LQR gain, no feedback",
        verified="the closed loop on a plant where both agree",
    )

    def solve(self, evidence: Evidence) -> Controller:
        """A-LQR's gains without what they observe, scaled to reach what is asked.

        Raises:
            InputError: no plant's matrices, weights that are not above zero, or features that
                cannot be told apart.
            NumericalError: the inputs cannot move a feature, demands that exclude each other, or
                the recursion broke down.
        """
        features, matrices = evidence.features, evidence.require_matrices(self.name)
        law = AffineLaw.schedule(self.gains(features, matrices))
        asked = torch.diag_embed(features.norm[:-1])
        answer = reached(matrices, plan(matrices, law, asked), features.vectors[-1])
        shifts = asked @ prefilter(answer, features.norm[-1], features.names)
        return Controller(law.H, law.G, plan(matrices, law, shifts), shifts)
