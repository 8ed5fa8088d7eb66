"""Feature LQR: the optimal law for features themselves, without a matrix of the model's width."""

from dataclasses import dataclass, field
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
    prefilter,
    roll_out,
)
from steersman.directions import Features, Natural, listed, natural_differences
from steersman.directions.natural import MOST, SHARE
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.acting import numbered
from steersman.methods.base import Method, PlantKind, Settled
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence

Actuators = Literal["contrast", "natural", "state"]
Weight = float | tuple[float, ...]
MANY = 8
"""Columns at a time of a cost-to-go that grows by the features at every weighted state."""


@dataclass(frozen=True)
class FeatureLQR(Method):
    """Penalise the features and not the state: optimal, low rank, with feed-forward.

        minimise  sum_i p_i (sum_t q (e_t^i/v_t'c_t^i)^2 + qf (e_T^i/v_T'c_T^i)^2) + r effort
                  e_t = V_t' delta_t - tau v_t'c_t    x_{t+1} = A_t x_t + B_t w_t,  u_t = B_t w_t
        u_t = G_t (s_t - H_t' x_t)                    H_t = A_t' W_{t+1}

    Errors and efforts are in natural units, so that the weights mean the same for every model. The
    plant is asked for products `A_t' W` alone, at most `k T (T + 1) / 2` columns for `k` features.
    A prefilter makes each feature after the last block move by its own target and by no other's on
    the averaged plant; the weights decide by which way, and how closely feedback holds each.

    Args:
        q: weight of the error at each block input: one number, or one a block.
        r: weight of the input, above zero: one number, or one a block.
        qf: weight of the error after the last block.
        actuators: what a block may add: "contrast", multiples of the contrasts at its output, which
            natural states show, each at the effort `sum_i (w^i/|c_T^i|)^2`; "natural", the leading
            directions in which paired examples differ there, at `w'w` in such differences; or
            "state", anything, at `|u|^2` over the mean of `|c_T^i|^2`. Least effort in every
            direction of the state finds directions that natural states never use, and moves the
            feature without the behaviour. Contrasts that are alike at a block share the work there;
            pushing one of them against the other is dear, as natural states seldom show that.
        blocks: which blocks may act, by number or as "top:K", "probe:K" or "opposed" by what the
            examples show; empty is all of them.
        rank: the most columns that the cost-to-go keeps; None keeps all.
        weights: `p_i` of each feature by its name, above zero; 1 for those that are not named.
        share: of a feature's mean square difference, that its "natural" actuators hold.
        most: the most "natural" actuators of a feature at a block.
    """

    name: ClassVar[str] = "feature-lqr"
    about: ClassVar[About] = About(
        paper="ours",
        direction="contrast, or natural differences",
        setpoint="relative; absolute",
        controller="low-rank LQR with feed-forward",
        verified="dense Riccati to 1e-10; least squares",
    )
    plant: ClassVar[PlantKind] = "products"
    several: ClassVar[bool] = True
    tokens: ClassVar[Literal["last", "all"]] = "last"

    q: Weight = 0.0
    r: Weight = 1.0
    qf: float = 1.0
    actuators: Actuators = "contrast"
    blocks: str | tuple[int, ...] = ()
    rank: int | None = None
    weights: dict[str, float] = field(default_factory=dict)
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
        """The design for one unit of each target on the averaged plant, prefiltered to reach it.

        Raises:
            InputError: no plant, weights, blocks or a rank that cannot be, or features that cannot
                be told apart.
            NumericalError: a feature that the blocks that may act cannot move, or demands that
                they cannot meet together.
        """
        features, system = evidence.features, evidence.require_plant(self.name)
        design = self.design(features, system, evidence.natural)
        # A unit of each feature's target, the others held put: (states, k, demands).
        asked = torch.diag_embed(features.norm.double())
        best = [_best(design, demand, system) for demand in asked.unbind(-1)]
        errors = torch.stack([one.errors[-1] for one in best], dim=-1)
        answer = asked[-1] - errors / design.cost.weights[-1].sqrt().unsqueeze(1)
        scale = prefilter(answer, asked[-1].diagonal(), features.names)
        law, like = design.law(), features.vectors
        return Controller(
            H=law.H.to(like),
            G=law.G.to(like),
            plan=(torch.stack([one.u for one in best], dim=-1) @ scale).to(like),
            shifts=(design.shifts(asked) @ scale).to(like),
        )

    def design(
        self, features: Features, system: Plant, natural: Natural | None = None
    ) -> FeatureDesign:
        """The feature LQR of these features on this plant, in float64.

        Raises:
            InputError: weights, blocks or a rank that cannot be, features that cannot be told apart
                where they are weighted, or natural actuators of which nothing is known.
        """
        blocks, unit = system.blocks, features.norm.double()
        # A state without contrast asks for nothing, whatever its unit.
        square = torch.where(unit > 0, unit, torch.ones_like(unit)) ** 2
        if not self.qf > 0:
            raise InputError(f"qf is {self.qf}; the feature after the last block must count.")
        p, q = self._importance(features.names), _each("q", self.q, blocks)
        for state in (*range(1, blocks), blocks):
            if state == blocks or float(q[state]) > 0:
                features.require_independent(state)
        V = features.vectors.double()
        cost = FeatureCost(V, q.unsqueeze(1) * p / square[:-1], self.qf * p / square[-1])
        return feature_lqr(system.vjp, cost, self._effort(features, natural), self.rank)

    def settled(self, evidence: Evidence) -> Settled:
        """The same method; it leaves nothing to the evidence but the names of the features.

        Raises:
            InputError: the weight of a feature that there is not.
        """
        names = evidence.features.names
        unknown = [name for name in self.weights if name not in names]
        if unknown:
            raise InputError(f"weights names {listed(unknown)}; there is {listed(names)}.")
        return Settled(self)

    def columns(self, features: int) -> int:
        """As many as the cost-to-go has: with a weight on the last state alone, the features."""
        weighted = self.q if isinstance(self.q, tuple) else (self.q,)
        return features * (MANY if any(weighted) else 1)

    def _importance(self, names: tuple[str, ...]) -> Float[Tensor, " features"]:
        for name, weight in self.weights.items():
            if not 0 < weight < torch.inf:
                raise InputError(
                    f"the weight of {name!r} is {weight}; it must be finite and above zero."
                )
        return torch.tensor([self.weights.get(name, 1.0) for name in names], dtype=torch.float64)

    def _effort(self, features: Features, natural: Natural | None) -> Effort:
        """What the blocks may add, and its weight in natural units."""
        if self.actuators not in get_args(Actuators):
            raise InputError(
                f"actuators is {self.actuators!r}; choose one of {', '.join(get_args(Actuators))}."
            )
        blocks = features.blocks
        chosen = numbered(self.blocks)
        wrong = sorted(set(chosen) - set(range(blocks)))
        if wrong:
            raise InputError(f"blocks names {wrong}; the model has blocks 0 .. {blocks - 1}.")
        r = _each("r", self.r, blocks)
        r[[t for t in range(blocks) if chosen and t not in chosen]] = torch.inf
        if self.actuators == "natural":
            if natural is None:
                raise InputError(
                    "natural actuators need to know how states differ naturally: fit from examples."
                )
            return Effort(r, tuple(natural.factors[1:].double()))
        contrast = features.contrast.double()
        square = contrast[-1].square().sum(0)
        if self.actuators == "state":
            return Effort(r / square.mean())
        units = torch.nn.functional.normalize(contrast[1:], dim=1)
        return Effort(tuple(r.unsqueeze(1) / square), tuple(units))


def _each(name: str, weight: Weight, blocks: int) -> Float[Tensor, " blocks"]:
    """One weight for every block."""
    found = torch.tensor(weight, dtype=torch.float64)
    if found.ndim and len(found) != blocks:
        raise InputError(f"{name} has {len(found)} entries for {blocks} blocks.")
    return found.expand(blocks).clone()


def _best(design: FeatureDesign, asked: Float[Tensor, "states k"], system: Plant) -> Trajectory:
    """The closed loop on the plant; a truncated design has to be run on it."""
    if not any(design.discarded):
        return design.schedule(asked)
    return roll_out(system.jvp, design.cost, design.effort, asked, design.feedback(asked))
