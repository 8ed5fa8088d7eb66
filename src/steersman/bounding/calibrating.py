"""From a steering and calibration prompts to a bound."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from steersman.bounding.attachment import Attachment, TokensOfBound
from steersman.bounding.calibration import Calibration
from steersman.bounding.foresight import Foresight
from steersman.bounding.remainders import Ratios, Reach, bounded, measure
from steersman.bounding.runs import fingerprint, paired_runs, read_prompts
from steersman.bounding.tracking_bound import TrackingBound
from steersman.control import Plant, conformal_bound
from steersman.errors import InputError
from steersman.identifying import identify
from steersman.methods import ExecutionName
from steersman.plant import Example, average
from steersman.steering import Steering

PLANT_SHARE = 3
"""Without a plant, one in so many prompts goes into it."""


def bound(
    steering: Steering,
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[Example],
    *,
    target: float | Mapping[str, float] = 1.0,
    feature: str | None = None,
    execution: ExecutionName | None = None,
    tokens: TokensOfBound = "last",
    new_tokens: int = 1,
    plant: Plant | None = None,
    level: float = 0.95,
    safety: float = 1.25,
    progress: bool = True,
) -> TrackingBound:
    """How far the steered feature can be from its prediction, calibrated on prompts.

        delta_{t+1} = A_t delta_t + u_t + w_t      predicted with w = 0, before the model runs
        |v_k' (delta_k - delta^lin_k)| / |c_k|  <=  radius_k

    Each prompt runs with the steering and without, and `w_t` is measured where it arises. The
    promises are for other prompts of the same kind, attached the same way. They say nothing of
    prompts of another kind; and prompts that the steering was fitted on are not of the same kind.

    The reference is relative, to what each token shows unsteered. An absolute setpoint asks every
    token for a different move, which is not known before its unsteered state is: there is nothing
    to bound beforehand.

    Args:
        steering: what is to be bounded.
        model: the model it was fitted on; it is not changed.
        tokenizer: its tokenizer.
        prompts: for calibration, drawn at random, others than the steering was fitted on.
        target: strength in natural units, not zero; of several features by name, where one that is
            not named is held put.
        feature: which of several features the bound is of; each has bands of its own.
        execution: "plan" or "feedback"; None leaves it to the method.
        tokens: which tokens are steered: "last" from the prompt's last one on, or "all".
        new_tokens: how many tokens the bound is for: 1 is the prompt's last one, which decides the
            first new token; more are those that the steered model then writes, and include what it
            does to its own context.
        plant: the linear plant, from prompts that are not among these; None identifies one from
            the first third of them, and calibrates on the rest. The bands that need its matrices
            are there where it is an `LTVSystem`.
        level: the probability of the conformal bands; `N` prompts give at most `N / (N + 1)`.
        safety: the factor on the worst of what was seen, for the worst-case bands.
        progress: say what is going on.

    Returns:
        The bound. Warns where the prediction is off by more than what is asked.

    Raises:
        InputError: too few prompts for the level, or a choice that cannot be.
        MismatchError: the model or the plant is another one.
        NumericalError: states that are not finite, or a loop whose norms overflow.

    Source:
        A-LQR (arXiv 2604.19018), Theorem 4.2, for the norms; the others are in `conformal_bound`
        and `sensitivities`.
    """
    if not safety >= 1:
        raise InputError(f"safety is {safety}; it must be at least 1.")
    head = 0 if plant is not None else max(1, len(prompts) // PLANT_SHARE)
    rest = prompts[head:]
    conformal_bound(torch.zeros(len(rest)), level)
    read = read_prompts(model, tokenizer, rest, new_tokens)
    if plant is None:
        plant = _identified(steering, model, tokenizer, prompts[:head], progress)
    attachment = Attachment(steering, plant, target, execution, tokens, feature)
    attachment.require_model(model)
    reach = Reach(attachment)
    if not bool(reach.counted.any()):
        raise InputError(
            "nothing that this steering adds goes through another block, so its prediction is "
            "exact: there is nothing to bound."
        )
    runs = paired_runs(attachment, model, tokenizer, rest, new_tokens=new_tokens, progress=progress)
    measured = measure(reach, runs, model)
    parts: list[Ratios] = [one.ratios for one in measured if one.ratios is not None]
    made_from = frozenset(map(fingerprint, read))
    calibration = Calibration.of(measured, bounded(parts, safety) if parts else None, made_from)
    foresight = Foresight.of(reach, calibration.remainder)
    made = TrackingBound(attachment, foresight, calibration, new_tokens, level, safety)
    radius = float(made.band("conformal").radius[-1])
    if radius >= attachment.asked:
        warnings.warn(
            f"after the last block the feature is up to {radius:.3g} units from its prediction "
            f"where {attachment.asked:g} is asked: the linear plant does not describe this model "
            "there. Ask for less, let other blocks act, or attach with relinearize='prompt'.",
            stacklevel=2,
        )
    return made


def _identified(
    steering: Steering, model: nn.Module, tokenizer: Any, prompts: Sequence[Example], progress: bool
) -> Plant:
    """The plant as the steering's method knows it: by matrices, or by products."""
    if steering.method.plant == "matrices":
        return identify(model, tokenizer, prompts, progress=progress)
    return average(model, tokenizer, prompts, progress=progress)
