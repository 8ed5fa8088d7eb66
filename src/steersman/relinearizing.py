"""A steering solved again at a trajectory of its own: that of a prompt, or of what follows it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from steersman.artifact import Parts
from steersman.control import Capped, Law, RowsLaw, Units
from steersman.engines import AtPrompt, Made
from steersman.errors import InputError
from steersman.methods import Controller, Evidence, Method
from steersman.plant import Averaged, linearize
from steersman.rehearsing import Rehearsal


class _Solved(NamedTuple):
    """What was solved at one prompt, and by how much each of the targets asked there is moved."""

    controller: Controller
    moved: dict[int, Tensor]


def at_prompt(
    model: nn.Module,
    parts: Parts,
    planned: bool,
    cap: float | None = None,
    rehearsal: Rehearsal | None = None,
) -> AtPrompt:
    """What makes the law of every row from its own prompt.

        A_t = d f_t(x_t) / d x_t   at the last token of the row's prompt, unsteered

    The directions and their natural units stay those of the fit; the plant is the prompt's own.

    Args:
        model: the model that is about to run.
        parts: of the steering.
        planned: whether the law is to run as a plan.
        cap: the longest input relative to the state; None is no cap.
        rehearsal: tries every row's law out at its prompt; None leaves the targets as they are.

    Raises:
        InputError: the method needs no plant, or more of it than products.
    """
    method = parts.method
    if method.plant != "products":
        raise InputError(
            f"{method.name} cannot be solved again at a prompt: it needs "
            + ("no plant." if method.plant == "none" else "the plant's matrices.")
            + " Use relinearize='fit'."
        )

    def stacked(controllers: Sequence[Controller]) -> tuple[Law[Any], Units]:
        law, units = _stacked(method, controllers, planned)
        return limited(law, cap), units

    def solved(ids: Tensor, targets: set[int], owner: object) -> _Solved:
        # What it takes to differentiate a prompt is large: it is gone when the next one comes.
        columns = method.columns(len(parts.features))
        run = linearize(model, ids[None], chunk=columns, asleep=owner, keep=True)
        evidence = Evidence(parts.features, Averaged((run,)), natural=parts.natural)
        controller = method.solve(evidence)
        if rehearsal is None:
            return _Solved(controller, {})
        alone = stacked([controller])
        return _Solved(controller, {one: rehearsal.moved(*alone, run, one) for one in targets})

    def make(prompts: tuple[Tensor, ...], owner: object) -> Made:
        keys = [tuple(ids.tolist()) for ids in prompts]
        wanted = [
            0 if rehearsal is None else rehearsal.which(row, len(keys)) for row in range(len(keys))
        ]
        found: dict[tuple[int, ...], _Solved] = {}
        for key, ids in zip(keys, prompts, strict=True):
            if key not in found:  # beams and samples of one prompt share its law
                targets = {one for other, one in zip(keys, wanted, strict=True) if other == key}
                found[key] = solved(ids, targets, owner)
        law, units = stacked([found[key].controller for key in keys])
        if rehearsal is None:
            return Made(law, units)
        moved = [found[key].moved[one] for key, one in zip(keys, wanted, strict=True)]
        return Made(law, units, torch.cat(moved))

    return make


def limited(law: Law[Any], cap: float | None) -> Law[Any]:
    """The law with a cap on its inputs, where there is one."""
    return law if cap is None else Capped(law, cap)


def _stacked(
    method: Method, controllers: Sequence[Controller], planned: bool
) -> tuple[Law[Any], Units]:
    """One law for all rows, each with tensors or units of its own."""
    if planned:
        plans = torch.stack([controller.plan for controller in controllers])
        return RowsLaw.schedule(plans), Units.plain(plans.shape[1])
    shifts = torch.stack([controller.shifts for controller in controllers], dim=1)
    return method.law_of_rows(controllers), Units.shifts(shifts)
