"""What a feature LQR costs on the model, against what its design says."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.bounding.attachment import Attachment
from steersman.bounding.runs import paired_runs
from steersman.control import Effort, FeatureDesign, Plant
from steersman.errors import InputError
from steersman.estimates import mean_over
from steersman.methods import Controller, FeatureLQR
from steersman.plant import Example
from steersman.steering import Steering


@dataclass(frozen=True, eq=False)
class CostReport:
    """Predicted and realised cost of one attached feature LQR, natural units.

        J = sum_t q_t (e_t/v_t'c_t)^2 + qf (e_T/v_T'c_T)^2 + sum_t r_t (|u_t|/|c_T|)^2
        e_t = v_t' delta_t - target v_t'c_t

    Args:
        optimum: the least cost on the linear plant, `FeatureDesign.cost_to_go`.
        predicted: the cost of the attached law on the linear plant; above the optimum where a
            prefilter makes the final feature arrive.
        tracking: what the features' errors cost on the model, `(prompts,)`.
        effort: what the inputs cost there, `(prompts,)`.
    """

    optimum: float
    predicted: float
    tracking: Float[Tensor, " prompts"]
    effort: Float[Tensor, " prompts"]

    @property
    def realised(self) -> Float[Tensor, " prompts"]:
        """The cost of each prompt's run."""
        return self.tracking + self.effort

    @property
    def ratio(self) -> tuple[float, float]:
        """Predicted over realised, the mean over prompts, and its standard error."""
        found = mean_over(self.predicted / self.realised)
        return found.value, found.se


def without_prefilter(steering: Steering, plant: Plant) -> Steering:
    """The same feature LQR designed on a plant, and attached as the optimum that it is.

    A fitted one is scaled so that the final feature arrives where it was asked; the optimum trades
    some of that for effort.

    Args:
        steering: fitted with `FeatureLQR`.
        plant: the blocks.

    Raises:
        InputError: another method, or a design that was truncated.
    """
    design, asked = _design(steering, plant)
    law = design.law()
    controller = Controller(
        H=law.H.float(),
        G=law.G.float(),
        plan=design.schedule(asked).u.unsqueeze(-1).float(),
        shifts=design.shifts(asked).unsqueeze(-1).float(),
    )
    return replace(steering, controller=controller)


def realised_cost(
    attachment: Attachment,
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[Example],
    *,
    progress: bool = False,
) -> CostReport:
    """Run prompts with and without the steering, and compare the cost with the predicted one.

    Args:
        attachment: a `FeatureLQR` steering, how it is attached, and the plant.
        model: the model; it is not changed.
        tokenizer: its tokenizer.
        prompts: others than the steering was fitted on.
        progress: show how far it is.

    Raises:
        InputError: another method, or no prompts.
        MismatchError: the model is another one.
    """
    attachment.require_model(model)
    design, asked = _design(attachment.steering, attachment.require_plant())
    asked = attachment.targets * asked
    found = [
        _cost(attachment, design, asked, run.deviation[:1])
        for run in paired_runs(attachment, model, tokenizer, prompts, progress=progress)
    ]
    return CostReport(
        optimum=design.cost_to_go(asked),
        predicted=sum(_cost(attachment, design, asked, attachment.predicted[None])),
        tracking=torch.tensor([tracking for tracking, _ in found], dtype=torch.float64),
        effort=torch.tensor([effort for _, effort in found], dtype=torch.float64),
    )


def _cost(
    attachment: Attachment,
    design: FeatureDesign,
    asked: Float[Tensor, "states 1"],
    delta: Float[Tensor, "1 states n"],
) -> tuple[float, float]:
    """What the errors and the inputs of one run cost."""
    features = torch.einsum("snk,sn->sk", design.cost.V, delta[0])
    errors = design.cost.weights * (asked - features).square()
    inputs = attachment.inputs(delta)[0]
    effort = sum(_effort(design.effort, block, u) for block, u in enumerate(inputs))
    return float(errors.sum()), float(effort)


def _effort(effort: Effort, block: int, u: Float[Tensor, " n"]) -> float:
    """`w' R w` of the actuators' inputs `w` that add `u`."""
    w = u
    if effort.B is not None:
        B = effort.B[block].to(u)
        w = torch.linalg.lstsq(B, u.unsqueeze(1), driver="gelsd").solution.squeeze(1)
    return float(effort.weigh(block, w).square().sum())


def _design(steering: Steering, plant: Plant) -> tuple[FeatureDesign, Float[Tensor, "states 1"]]:
    """The design of a feature LQR on a plant, and what target 1 demands of it."""
    if not isinstance(steering.method, FeatureLQR):
        raise InputError(
            f"{steering.method.name} states no cost of the feature; use a steering of feature-lqr."
        )
    demands = steering.direction.norm.double().unsqueeze(-1)
    return steering.method.design(steering.features, plant, steering.natural), demands
