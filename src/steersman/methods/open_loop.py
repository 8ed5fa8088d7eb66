"""Open-loop LQR: the regulator's gain on an error that nobody measures."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from steersman.control import AffineLaw, feature_gains, plan, prefilter
from steersman.methods.alqr import ALQR
from steersman.methods.base import Controller, Evidence


@dataclass(frozen=True)
class OpenLoopLQR(ALQR):
    """A-LQR with the error fixed beforehand, from the setpoint alone.

        e_t = target |c_t| v_t             whatever the state is and whatever was added before
        u_t = N K_t e_t = target N K_t c_t

    It is not A-LQR's plan, though both are schedules. The plan is what the closed loop does on the
    averaged plant, where the error shrinks as earlier inputs arrive; here every block is given the
    whole error, as if it were the first to act, so that the inputs of all blocks add up. The
    prefilter `N` makes one unit of target move the final feature by the whole contrast, as it does
    for every other method; the published schedule, `u_t = K_t c_t`, is target `1 / N`, with `N` the
    ratio of the controller's shifts to the contrasts' lengths.

    Source:
        A-LQR (arXiv 2604.19018), whose code evaluates `u_t = K_t c_t` without discussing it.
    """

    name: ClassVar[str] = "open-loop-lqr"

    def solve(self, evidence: Evidence) -> Controller:
        """Riccati gains on the contrasts, scaled to reach what is asked.

        Raises:
            InputError: no plant's matrices, or weights that are not above zero.
            NumericalError: the inputs cannot move the feature, or the recursion broke down.
        """
        direction, matrices = evidence.direction, evidence.require_matrices(self.name)
        G = feature_gains(matrices, direction.vectors[:-1], self.q, self.r, self.qf).unsqueeze(-1)
        law = AffineLaw(torch.zeros_like(G), G)
        asked = direction.norm[:-1].unsqueeze(-1)
        last, unit = direction.vectors[-1], float(direction.norm[-1])
        shifts = asked * prefilter(matrices, law, asked, last, unit)
        return Controller(law.H, G, plan(matrices, law, shifts), shifts)
