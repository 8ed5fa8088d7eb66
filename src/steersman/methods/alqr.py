"""A-LQR: activation steering by a linear-quadratic regulator over depth."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from steersman.control import AffineLaw, feature_gains, plan, prefilter
from steersman.methods.base import Controller, Evidence, Method, PlantKind


@dataclass(frozen=True)
class ALQR(Method):
    """The paper's method: the gain of a dense LQR, applied to the error of one feature.

        minimise  sum_t q|e_t|^2 + r|u_t|^2 + qf|e_T|^2   subject to  e_{t+1} = A_t e_t + u_t
        u_t = (s_t - v_t' x_t) K_t p_t

    The error of the feature stands for one of the state along the pattern `p_t = c_t / v_t'c_t`:
    `v_t` itself where the contrast is observed, as in the paper.

    Every token from the prompt's last one on is steered, which is what the paper's hook at the
    last position of every forward pass amounts to.

    Args:
        q: weight of the error at each block input.
        r: weight of the input.
        qf: weight of the error after the last block. Only `q/r` and `qf/r` matter.

    Source:
        Local Linearity of LLMs Enables Activation Steering via Model-Based Linear Optimal Control
        (arXiv 2604.19018), sections 3 and 4.
    """

    name: ClassVar[str] = "a-lqr"
    plant: ClassVar[PlantKind] = "matrices"
    tokens: ClassVar[Literal["last", "all"]] = "last"

    q: float = 0.1
    r: float = 1.0
    qf: float = 0.1

    def solve(self, evidence: Evidence) -> Controller:
        """Riccati gains on the patterns, and the plan with its prefilter."""
        direction, matrices = evidence.direction, evidence.require_matrices(self.name)
        H = direction.vectors[:-1].unsqueeze(-1)
        patterns = direction.patterns[:-1]
        G = feature_gains(matrices, patterns, self.q, self.r, self.qf).unsqueeze(-1)
        asked = direction.norm[:-1].unsqueeze(-1)
        last, unit = direction.vectors[-1], float(direction.norm[-1])
        law = AffineLaw(H, G)
        shifts = asked * prefilter(matrices, law, asked, last, unit)
        return Controller(H, G, plan(matrices, law, shifts), shifts)


@dataclass(frozen=True)
class ALQRPlus(ALQR):
    """A-LQR+ of the paper: the same gains at every token, the prompt's included."""

    name: ClassVar[str] = "a-lqr+"
    tokens: ClassVar[Literal["last", "all"]] = "all"
