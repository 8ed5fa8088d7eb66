"""Several axes pushed together, each along what its examples vary along most."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.directions import Features
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.base import Method, PlantKind
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence, Sides


@dataclass(frozen=True)
class ParametricAxes(Method):
    """`y <- y + w_b sum_p target_p v_p` behind the blocks that tell each axis apart best.

        v_p    the first principal component of the axis' examples, centred, both sides together
        w_b    how often a probe is right behind block b, of the best block's

    Each feature is one axis, given by examples that differ in it alone. As published, one unit of
    target is the vector of length one at every block, and strengths go from 0.5 to 4; how far that
    moves anything depends on how long the model's states are. In natural units it is the distance
    of the two sides' means along `v_p`, shared out among the blocks by their weights. It depends on
    no state, so it is a plan.

    The component has no sign of its own. The published one makes its mean projection positive,
    which says nothing of what is desired; here desired examples lie above undesired ones. And
    blocks are chosen by the probe: "the longest vectors" of unit vectors are all of them.

    Args:
        top: how many blocks act, for each axis.
        weighted: whether `w_b` is used; otherwise it is 1.
        unit: of the target: a "vector" of length one, as published, or "natural".

    Source:
        Contextual privacy by CI-parametric steering (arXiv 2604.00209),
        https://github.com/wang2226/CI-Steering; its probe is a logistic regression, where here it
        is the mean difference on examples left out, right with probability `Phi(d' / 2)`.
    """

    name: ClassVar[str] = "parametric-axes"
    about: ClassVar[About] = About(
        paper="CI-parametric, arXiv 2604.00209",
        direction="principal component of each axis",
        setpoint="offset of each axis",
        controller="none",
        verified="the formula written out",
        site="block output",
    )
    plant: ClassVar[PlantKind] = "none"
    tokens: ClassVar[Literal["last", "all"]] = "all"
    several: ClassVar[bool] = True
    in_units: ClassVar[bool] = False

    top: int = 5
    weighted: bool = True
    unit: Literal["vector", "natural"] = "vector"

    def solve(self, evidence: Evidence) -> Controller:
        """The schedule of every axis.

        Raises:
            InputError: no states to learn from, or no block to choose.
        """
        if self.top < 1:
            raise InputError(f"top is {self.top}; at least one block has to act.")
        if evidence.sides is None:
            raise InputError(f"{self.name} learns from the examples' states: fit it from examples.")
        right = accuracy(evidence.features)
        plan = torch.stack(
            [self._axis(side, right[:, i]) for i, side in enumerate(evidence.sides)], dim=-1
        )
        shifts = torch.eye(plan.shape[-1]).expand(len(plan), -1, -1).contiguous()
        return Controller(torch.zeros_like(plan), plan, plan, shifts)

    def _axis(self, sides: Sides, right: Float[Tensor, " blocks"]) -> Float[Tensor, "blocks n"]:
        """The inputs of one axis."""
        plan = torch.zeros(len(right), sides.desired.shape[-1])
        acts = right.topk(min(self.top, len(right))).indices
        weights = right[acts] / right.max() if self.weighted else torch.ones(len(acts))
        natural = self._natural()
        shares = weights / weights.sum() if natural else weights
        for block, share in zip(acts.tolist(), shares.tolist(), strict=True):
            desired, undesired = (side[:, block + 1].double() for side in sides)
            v = principal(desired, undesired)
            unit = float((desired.mean(0) - undesired.mean(0)) @ v) if natural else 1.0
            plan[block] = share * unit * v
        return plan

    def _natural(self) -> bool:
        if self.unit not in ("vector", "natural"):
            raise InputError(f"unit is {self.unit!r}; choose vector or natural.")
        return self.unit == "natural"


def accuracy(features: Features) -> Float[Tensor, "blocks features"]:
    """How often the mean difference is right behind each block, on examples left out.

    Args:
        features: with their separation d'.
    """
    separation = features.stacked("separation")[1:].double()
    right: Tensor = torch.special.ndtr(separation / 2)
    return right.nan_to_num(0.5)


def principal(
    desired: Float[Tensor, "desired n"], undesired: Float[Tensor, "undesired n"]
) -> Float[Tensor, " n"]:
    """The unit vector that the states vary along most, desired ones above; zero without any.

    Args:
        desired: states of one side.
        undesired: of the other.
    """
    states = torch.cat([desired, undesired])
    _, sizes, rows = torch.linalg.svd(states - states.mean(0), full_matrices=False)
    v: Tensor = rows[0] if bool(sizes[0] > 1e-9 * states.norm()) else torch.zeros_like(rows[0])
    return -v if bool((desired.mean(0) - undesired.mean(0)) @ v < 0) else v
