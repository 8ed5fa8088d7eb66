"""Runs on a linear plant that is known by its products: what they cost, and how near the best."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_shape
from steersman.control.effort import Effort
from steersman.control.feature_cost import FeatureCost
from steersman.control.propagate import Product, propagate


class Trajectory(NamedTuple):
    """Inputs, and the errors that they leave.

    Attributes:
        w: the inputs of each block's actuators, `(p_t,)`.
        u: what they add to the state, `B_t w_t`, `(blocks, n)`.
        errors: the weighted errors at `x_0 .. x_T`, `Q_t^{1/2} (ebar_t - V_t' delta_t)`,
            `(states, k)`; zero where the weight is.
        effort: `sum_t w_t' R_t w_t`.
    """

    w: tuple[Float[Tensor, " _"], ...]
    u: Float[Tensor, "blocks n"]
    errors: Float[Tensor, "states k"]
    effort: float

    @classmethod
    def of(cls, effort: Effort, w: Sequence[Tensor], errors: Sequence[Tensor]) -> "Trajectory":
        """From the inputs of every block and the weighted errors at every state."""
        u = torch.stack([effort.drive(block, inputs) for block, inputs in enumerate(w)])
        spent = sum(float(effort.weigh(t, inputs).square().sum()) for t, inputs in enumerate(w))
        return cls(tuple(w), u, torch.stack(list(errors)), spent)

    @property
    def cost(self) -> float:
        """Tracking cost and effort together."""
        return float(self.errors.square().sum()) + self.effort


def roll_out(
    push: Product,
    cost: FeatureCost,
    effort: Effort,
    demands: Float[Tensor, "states k"],
    act: Callable[[int, Tensor], Tensor],
    delta0: Float[Tensor, " n"] | None = None,
) -> Trajectory:
    """Run `delta_{t+1} = A_t delta_t + B_t w_t`, `w_t = act(t, delta_t)`.

    Args:
        push: `(block, X) -> A_t X`; asked for one column at every block.
        cost: the features and their weights.
        effort: the actuators and their weights.
        demands: `ebar_0 .. ebar_T`, `(states, k)`.
        act: the inputs: a `FeatureDesign.feedback`, or those of a schedule.
        delta0: the deviation at the first block's input; None is zero.

    Raises:
        ShapeError: `demands`, `delta0` or `effort` does not belong to `cost`.
    """
    effort.require_fit(cost.blocks, cost.n)
    require_shape("demands", demands, ("states", cost.blocks + 1), ("k", cost.k))
    delta = cost.V.new_zeros(cost.n) if delta0 is None else delta0.to(cost.V)
    require_shape("delta0", delta, ("n", cost.n))
    w: list[Tensor] = []

    def drive(block: int, delta: Tensor) -> Tensor:
        w.append(act(block, delta))
        return effort.drive(block, w[-1])

    states, _ = propagate(push, cost.blocks, delta, drive)
    reached = torch.einsum("tnk,tn->tk", cost.V, states)
    errors = cost.weights.sqrt() * (demands.to(reached) - reached)
    return Trajectory.of(effort, w, list(errors))


def duality_gap(pull: Product, cost: FeatureCost, effort: Effort, trajectory: Trajectory) -> float:
    """How much dearer than the optimum a trajectory can be at most, without knowing the optimum.

        c_T = V_T Q_T^{1/2} errors_T        c_t = V_t Q_t^{1/2} errors_t + A_t' c_{t+1}
        cost - optimum  <=  sum_t |R_t^{1/2} w_t - R_t^{-1/2} B_t' c_{t+1}|^2

    The right side is the cost minus the value of the dual problem at the costates `c`. It is zero
    at the optimum, and never below the truth: for inputs of a truncated design, of another method
    or of another linearisation. It exceeds the truth by at most the factor `1 + sigma^2`, where
    `sigma` is the largest singular value of the map from normalised inputs to weighted features.

    Args:
        pull: `(block, W) -> A_t' W`; asked for one column at every block but the first.
        cost: the features and their weights.
        effort: the actuators and their weights.
        trajectory: inputs and the errors that they leave on this plant, as `roll_out` gives them.

    Raises:
        ShapeError: `trajectory` or `effort` does not belong to `cost`.

    Source:
        Boyd and Vandenberghe, Convex Optimization, section 5.5.
    """
    effort.require_fit(cost.blocks, cost.n)
    require_shape("errors", trajectory.errors, ("states", cost.blocks + 1), ("k", cost.k))
    costate, gap = cost.V.new_zeros(cost.n, 1), 0.0
    for block in reversed(range(cost.blocks)):
        weighted = cost.weights[block + 1].sqrt() * trajectory.errors[block + 1].to(cost.V)
        costate = costate + (cost.V[block + 1] @ weighted).unsqueeze(1)
        w = trajectory.w[block].to(costate).unsqueeze(1)
        found = effort.weigh(block, w) - effort.sense(block, costate)
        gap += float(found.square().sum())
        costate = pull(block, costate).to(costate) if block else costate
    return gap
