"""A steering solved again at a trajectory of its own: that of a prompt, or of what follows it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from steersman.artifact import Parts
from steersman.control import Law, RowsLaw, Units
from steersman.engines import AtPrompt
from steersman.errors import InputError
from steersman.methods import Controller, Evidence, Method
from steersman.plant import Averaged, linearize


def at_prompt(model: nn.Module, parts: Parts, planned: bool) -> AtPrompt:
    """What makes the law of every row from its own prompt.

        A_t = d f_t(x_t) / d x_t   at the last token of the row's prompt, unsteered

    The directions and their natural units stay those of the fit; the plant is the prompt's own.

    Args:
        model: the model that is about to run.
        parts: of the steering.
        planned: whether the law is to run as a plan.

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

    def solve(ids: Tensor, owner: object) -> Controller:
        columns = method.columns(len(parts.features))
        run = linearize(model, ids[None], chunk=columns, asleep=owner, keep=True)
        return method.solve(Evidence(parts.features, Averaged((run,)), natural=parts.natural))

    def make(prompts: tuple[Tensor, ...], owner: object) -> tuple[Law[Any], Units]:
        solved: dict[tuple[int, ...], Controller] = {}
        keys = [tuple(ids.tolist()) for ids in prompts]
        for key, ids in zip(keys, prompts, strict=True):
            if key not in solved:  # beams and samples of one prompt share its law
                solved[key] = solve(ids, owner)
        return _stacked(method, [solved[key] for key in keys], planned)

    return make


def _stacked(
    method: Method, controllers: Sequence[Controller], planned: bool
) -> tuple[Law[Any], Units]:
    """One law for all rows, each with tensors or units of its own."""
    if planned:
        plans = torch.stack([controller.plan for controller in controllers])
        return RowsLaw.schedule(plans), Units.plain(plans.shape[1])
    shifts = torch.stack([controller.shifts for controller in controllers], dim=1)
    return method.law_of_rows(controllers), Units.shifts(shifts)
