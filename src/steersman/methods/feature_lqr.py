"""Feature LQR: the optimal law for the feature itself, without a matrix of the model's width."""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import (
    Effort,
    FeatureCost,
    FeatureDesign,
    Plant,
    Trajectory,
    feature_lqr,
    roll_out,
)
from steersman.directions import Direction, Natural, natural_differences
from steersman.directions.natural import MOST, SHARE
from steersman.errors import InputError, NumericalError
from steersman.methods.base import Controller, Evidence, Method, PlantKind

Actuators = Literal["contrast", "natural", "state"]
Weight = float | tuple[float, ...]
MIN_REACH = 1e-6


@dataclass(frozen=True)
class FeatureLQR(Method):
    """Penalise the feature and not the state: optimal, low rank, with feed-forward.

        minimise  sum_t q (e_t/v_t'c_t)^2 + qf (e_T/v_T'c_T)^2 + r (|u_t|/|c_T|)^2
                  e_t = v_t' delta_t - v_t'c_t      x_{t+1} = A_t x_t + B_t w_t,  u_t = B_t w_t
        u_t = G_t (s_t - H_t' x_t)                  H_t = A_t' W_{t+1}

    Errors and efforts are in natural units, so that the weights mean the same for every model. The
    plant is asked for products `A_t' W` alone, at most `T (T + 1) / 2` columns.

    Args:
        q: weight of the error at each block input: one number, or one a block.
        r: weight of the input, above zero: one number, or one a block.
        qf: weight of the error after the last block.
        actuators: what a block may add: "contrast", multiples of the contrast at its output, which
            natural states show; "natural", the leading directions in which paired examples differ
            there, the effort measured in such differences, `r w'w` with `u = F w`; or "state",
            anything. Least effort in every direction of the state finds directions that natural
            states never use, and moves the feature without the behaviour.
        blocks: which blocks may act; empty is all of them.
        rank: the most columns that the cost-to-go keeps; None keeps all.
        share: of the mean square difference, that "natural" actuators hold.
        most: the most "natural" actuators of a block.
    """

    name: ClassVar[str] = "feature-lqr"
    plant: ClassVar[PlantKind] = "products"
    tokens: ClassVar[Literal["last", "all"]] = "last"

    q: Weight = 0.0
    r: Weight = 1.0
    qf: float = 1.0
    actuators: Actuators = "contrast"
    blocks: tuple[int, ...] = ()
    rank: int | None = None
    share: float = SHARE
    most: int = MOST

    def natural(
        self,
        desired: Float[Tensor, "desired states n"],
        undesired: Float[Tensor, "undesired states n"],
    ) -> Natural | None:
        """The leading directions in which the examples differ, where they are the actuators.

        Raises:
            InputError: `share` or `most` cannot be, or there are too few examples.
        """
        if self.actuators != "natural":
            return None
        return natural_differences(desired, undesired, share=self.share, most=self.most)

    def solve(self, evidence: Evidence) -> Controller:
        """The design for one unit of target on the averaged plant, scaled to reach it.

        Raises:
            InputError: no plant, or weights, blocks or a rank that cannot be.
            NumericalError: the blocks that may act cannot move the feature.
        """
        direction, system = evidence.direction, evidence.require_plant(self.name)
        design = self.design(direction, system, evidence.natural)
        asked = direction.norm.double().unsqueeze(-1)
        best = _best(design, asked, system)
        scale = _prefilter(best, design, asked)
        law = design.law()
        return Controller(
            H=law.H.float(),
            G=law.G.float(),
            plan=(scale * best.u).float(),
            shifts=(scale * design.shifts(asked)).float(),
        )

    def design(
        self, direction: Direction, system: Plant, natural: Natural | None = None
    ) -> FeatureDesign:
        """The feature LQR of this direction on this plant, in float64.

        Raises:
            InputError: weights, blocks or a rank that cannot be, or natural actuators of which
                nothing is known.
        """
        blocks = system.blocks
        unit = direction.norm.double()
        # A state without contrast asks for nothing, whatever its unit.
        square = torch.where(unit > 0, unit, torch.ones_like(unit)) ** 2
        q = _each("q", self.q, blocks) / square[:-1]
        r = _each("r", self.r, blocks)
        if self.actuators != "natural":  # those have their own unit
            r = r / direction.contrast[-1].double().square().sum()
        r[[t for t in range(blocks) if not self._acts(t, blocks)]] = torch.inf
        if not self.qf > 0:
            raise InputError(f"qf is {self.qf}; the feature after the last block must count.")
        qf = (self.qf / square[-1]).reshape(1)
        cost = FeatureCost(direction.vectors.double().unsqueeze(-1), q[:, None], qf)
        return feature_lqr(
            system.vjp, cost, Effort(r, self._actuators(direction, natural)), self.rank
        )

    def _acts(self, block: int, blocks: int) -> bool:
        wrong = sorted(set(self.blocks) - set(range(blocks)))
        if wrong:
            raise InputError(f"blocks names {wrong}; the model has blocks 0 .. {blocks - 1}.")
        return not self.blocks or block in self.blocks

    def _actuators(
        self, direction: Direction, natural: Natural | None
    ) -> tuple[Tensor, ...] | None:
        if self.actuators not in get_args(Actuators):
            raise InputError(
                f"actuators is {self.actuators!r}; choose one of {', '.join(get_args(Actuators))}."
            )
        if self.actuators == "state":
            return None
        if self.actuators == "natural":
            if natural is None:
                raise InputError(
                    "natural actuators need to know how states differ naturally: fit from examples."
                )
            return tuple(natural.factors[1:].double())
        unit = torch.nn.functional.normalize(direction.contrast[1:].double(), dim=-1)
        return tuple(c.unsqueeze(-1) for c in unit)


def _each(name: str, weight: Weight, blocks: int) -> Float[Tensor, " blocks"]:
    """One weight for every block."""
    found = torch.tensor(weight, dtype=torch.float64)
    if found.ndim and len(found) != blocks:
        raise InputError(f"{name} has {len(found)} entries for {blocks} blocks.")
    return found.expand(blocks).clone()


def _best(design: FeatureDesign, asked: Float[Tensor, "states 1"], system: Plant) -> Trajectory:
    """The closed loop on the plant; a truncated design has to be run on it."""
    if not any(design.discarded):
        return design.schedule(asked)
    return roll_out(system.jvp, design.cost, design.effort, asked, design.feedback(asked))


def _prefilter(best: Trajectory, design: FeatureDesign, asked: Float[Tensor, "states 1"]) -> float:
    """The factor that makes the feature after the last block move by what was asked."""
    unit = float(asked[-1])
    reached = unit - float(best.errors[-1] / design.cost.weights[-1].sqrt())
    if not reached > MIN_REACH * unit:
        raise NumericalError(
            f"The blocks that may act move the final feature by {reached:.3g} where {unit:.3g} is "
            "asked: they have no authority over it. Let more blocks act, raise qf/r, or choose "
            "another direction."
        )
    return unit / reached
