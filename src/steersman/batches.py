"""Steerings at work on a batch: one for all of it, or one a prompt."""

from collections.abc import Sequence

from torch import nn

from steersman.attachable import Attachable
from steersman.attaching import grouped
from steersman.engines import Run, Tokens
from steersman.methods import ExecutionName, ReferenceName
from steersman.plant import locate
from steersman.request import RelinearizeName, Request, Strength


def attach(
    model: nn.Module,
    steerings: Sequence[Attachable | None],
    target: Strength | None = None,
    *,
    lambda_: Strength | None = None,
    tokens: Tokens | None = None,
    reference: ReferenceName | None = None,
    execution: ExecutionName | None = None,
    relinearize: RelinearizeName = "fit",
    correction: float = 0.0,
    cap: float | None = None,
    prompt_length: int | None = None,
    trace: bool = True,
) -> Run:
    """Steer a batch: one steering for all of it, or one a prompt.

        u_t = G_t (s_t - H_t' x_t),   each row with the terms of its own steering

    Args:
        model: the loaded model; it is not changed.
        steerings: one steering for every row, or one for each prompt of the batch, None for a
            prompt that is left alone; for several on the same prompt, what `together` returns.
        target: strength in natural units, one number or one a prompt; of several features by
            name. Default 1, for one feature.
        lambda_: strength as the paper has it instead.
        tokens: as in `Steering.attach`, and so are the others.
        reference: see there.
        execution: see there.
        relinearize: see there.
        correction: see there.
        cap: see there.
        prompt_length: see there.
        trace: see there.

    Returns:
        A `Run`, to be used in a `with` block.

    Raises:
        MismatchError: a steering was made for another model.
        InputError: no steering, both or contradictory strengths, or not as many strengths as
            prompts.
        AttachedError: on entering, where the model already carries a steering.
    """
    request = Request.of(
        target,
        lambda_,
        tokens=tokens,
        reference=reference,
        execution=execution,
        relinearize=relinearize,
        correction=correction,
        cap=cap,
    )
    blocks = locate(model)
    for steering in steerings:
        if steering is not None:
            steering.require_model(model, blocks)
    prompts = request.prompts(len(steerings))
    channels = tuple(
        channel
        for steering, rows in grouped(steerings)
        for channel in steering.channels(request.for_rows(rows), model, rows)
    )
    return Run(model, blocks, channels, prompts=prompts, prompt_length=prompt_length, trace=trace)
