"""A-LQR: activation steering by a linear-quadratic regulator over depth."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import (
    AffineLaw,
    LTVSystem,
    feature_gains,
    least_errors,
    plan,
    prefilter,
    reached,
)
from steersman.directions import Features
from steersman.methods.about import About
from steersman.methods.base import Method, PlantKind
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence


@dataclass(frozen=True)
class ALQR(Method):
    """The paper's method: the gain of a dense LQR, applied to the error of the features.

        minimise  sum_t q|e_t|^2 + r|u_t|^2 + qf|e_T|^2   subject to  e_{t+1} = A_t e_t + u_t
        u_t = K_t C_t (V_t' C_t)^-1 (s_t - V_t' x_t)

    `C_t (V_t' C_t)^-1 (s_t - V_t' x_t)` is the error of the state along the contrasts that shows as
    the features' errors. Of one feature that is observed along its contrast it is the paper's
    `(s_t - v_t' x_t) v_t`.

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
    about: ClassVar[About] = About(
        paper="A-LQR, arXiv 2604.19018",
        direction="observer",
        setpoint="relative; absolute; lambda",
        controller="dense LQR gain",
        verified="Riccati by substitution and scipy; the whole horizon by least squares",
    )
    plant: ClassVar[PlantKind] = "matrices"
    several: ClassVar[bool] = True
    tokens: ClassVar[Literal["last", "all"]] = "last"

    q: float = 0.1
    r: float = 1.0
    qf: float = 0.1

    def solve(self, evidence: Evidence) -> Controller:
        """Riccati gains on the unit directions, and the plan with its prefilter.

        Raises:
            InputError: no plant, weights that cannot be, or features that cannot be told apart.
            NumericalError: a feature that the loop cannot move, or demands that exclude each other.
        """
        features, matrices = evidence.features, evidence.require_matrices(self.name)
        law = AffineLaw(features.vectors[:-1], self.gains(features, matrices))
        asked = torch.diag_embed(features.norm[:-1])
        answer = reached(matrices, plan(matrices, law, asked), features.vectors[-1])
        shifts = asked @ prefilter(answer, features.norm[-1], features.names)
        return Controller(law.H, law.G, plan(matrices, law, shifts), shifts)

    def gains(self, features: Features, plant: LTVSystem) -> Float[Tensor, "blocks n features"]:
        """`G_t = K_t V_t (V_t' V_t)^-1`: what a unit of each feature's error adds.

        Args:
            features: the directions.
            plant: the identified plant.

        Raises:
            InputError: weights that cannot be, or features that cannot be told apart.
            NumericalError: the recursion broke down.
        """
        for state in range(features.blocks + 1):
            features.require_independent(state)
        errors = least_errors(features.vectors[:-1], features.contrast[:-1])
        return feature_gains(plant, errors, self.q, self.r, self.qf)


@dataclass(frozen=True)
class ALQRPlus(ALQR):
    """A-LQR+ of the paper: the same gains at every token, the prompt's included."""

    name: ClassVar[str] = "a-lqr+"
    about: ClassVar[About] = About(
        paper="A-LQR+, arXiv 2604.19018",
        direction="observer",
        setpoint="relative; absolute; lambda",
        controller="dense LQR gain",
        verified="as a-lqr",
    )
    tokens: ClassVar[Literal["last", "all"]] = "all"
