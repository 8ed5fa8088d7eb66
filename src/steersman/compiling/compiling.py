"""A steering as a change of weights: whether it is one, and the change itself."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from steersman.artifact import Parts
from steersman.compiling.folding import fold, verdict_of
from steersman.compiling.measuring import Attach, compare
from steersman.compiling.verdict import Verdict
from steersman.errors import CompilationError
from steersman.plant import Example
from steersman.request import Request


def check(
    parts: Parts,
    request: Request,
    model: nn.Module,
    attach: Attach,
    tokenizer: Any = None,
    prompts: Sequence[Example] = (),
) -> Verdict:
    """What weights can do for a steering, measured on prompts where there are any.

    Args:
        parts: what the steering is made of.
        request: what is asked of it.
        model: the model.
        attach: gives a fresh context in which the model is steered as asked.
        tokenizer: its tokenizer, where there are prompts.
        prompts: what to measure on.

    Raises:
        InputError: the request contradicts itself or the steering.
        ArchitectureError: the writers of the model are not found.
    """
    found = verdict_of(parts, request, model)
    if found.verdict == "not":
        return found
    try:
        delta = fold(parts, request, model, approximate=True)
    except CompilationError as error:
        return Verdict("not", str(error).rstrip("."), "attach(), as it is")
    if tokenizer is None or not prompts:
        return found
    difference, effect = compare(model, tokenizer, prompts, delta, attach)
    return replace(found, difference=difference, effect=effect, prompts=len(prompts))
