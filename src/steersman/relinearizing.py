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
from steersman.plant import Averaged, Linearization, linearize
from steersman.rehearsing import Rehearsal


class _Solved(NamedTuple):
    """What was solved at one prompt, and where."""

    controller: Controller
    run: Linearization


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

    def solve(ids: Tensor, owner: object) -> _Solved:
        columns = method.columns(len(parts.features))
        run = linearize(model, ids[None], chunk=columns, asleep=owner, keep=True)
        evidence = Evidence(parts.features, Averaged((run,)), natural=parts.natural)
        return _Solved(method.solve(evidence), run)

    def stacked(controllers: Sequence[Controller]) -> tuple[Law[Any], Units]:
        law, units = _stacked(method, controllers, planned)
        return limited(law, cap), units

    def make(prompts: tuple[Tensor, ...], owner: object) -> Made:
        solved: dict[tuple[int, ...], _Solved] = {}
        keys = [tuple(ids.tolist()) for ids in prompts]
        for key, ids in zip(keys, prompts, strict=True):
            if key not in solved:  # beams and samples of one prompt share its law
                solved[key] = solve(ids, owner)
        law, units = stacked([solved[key].controller for key in keys])
        if rehearsal is None:
            return Made(law, units)
        moved: dict[tuple[tuple[int, ...], int], Tensor] = {}
        parts = [(key, rehearsal.which(row, len(keys))) for row, key in enumerate(keys)]
        for key, target in parts:
            if (key, target) not in moved:
                alone = stacked([solved[key].controller])
                moved[key, target] = rehearsal.moved(*alone, solved[key].run, target)
        return Made(law, units, torch.cat([moved[part] for part in parts]))

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
