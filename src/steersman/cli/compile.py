"""`steersman compile`: a steering in the weights of a checkpoint."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from steersman.cli.console import note, out, require_free_folder
from steersman.cli.options import (
    Chat,
    DeviceMap,
    Dtype,
    ExecutionOption,
    Lambda,
    OutFolder,
    PromptCount,
    ReferenceOption,
    SteeringArgument,
    Target,
    TokensOption,
)
from steersman.errors import InputError

if TYPE_CHECKING:
    from steersman.compiling import WeightDelta
    from steersman.steering import Steering

_RECORD, _KIND, _VERSION = "steersman.json", "steersman compiled checkpoint", 1

ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="The model that it was fitted for: a name on the Hugging Face hub, a folder, or "
        "[bold]windtunnel[/bold].",
        show_default=False,
    ),
]
Ablate = Annotated[
    int | None,
    typer.Option(
        "--ablate",
        metavar="STATE",
        help="Instead of a schedule, take the directions of this state out of all that writes "
        "into the residual stream.",
        show_default=False,
    ),
]
Approximate = Annotated[
    bool, typer.Option("--approximate", help="Take the nearest where nothing is exact.")
]
DeltaOnly = Annotated[
    bool, typer.Option("--delta", help="Write the change of weights alone, not a checkpoint.")
]
CheckPrompts = Annotated[
    str | None,
    typer.Option(
        "--prompts",
        "-p",
        metavar="FILE",
        help="Where to measure how far the logits are from those of the steering attached.",
        show_default=False,
    ),
]
DrawSeed = Annotated[int, typer.Option("--seed", help="Of prompts drawn from the wind tunnel.")]


def compile_(
    steering: SteeringArgument,
    model: ModelOption,
    folder: OutFolder,
    target: Target = None,
    lambda_: Lambda = None,
    tokens: TokensOption = None,
    reference: ReferenceOption = None,
    execution: ExecutionOption = None,
    ablate: Ablate = None,
    approximate: Approximate = False,
    delta_only: DeltaOnly = False,
    prompts: CheckPrompts = None,
    count: PromptCount = 16,
    seed: DrawSeed = 0,
    chat: Chat = False,
    dtype: Dtype = "auto",
    device_map: DeviceMap = None,
) -> None:
    """Write a checkpoint that is steered by its weights, for where no hook can run.

    Exact for a schedule at every token (--tokens all); says what is, and what is nearest.
    """
    from steersman.cli.models import open_prompts, open_steered
    from steersman.cli.strengths import strength_of
    from steersman.compiling.saving import MANIFEST

    strengths = (strength_of(target, "--target"), strength_of(lambda_, "--lambda"))
    choices = {"tokens": tokens, "reference": reference, "execution": execution}
    if ablate is not None and any(one is not None for one in (*strengths, *choices.values())):
        raise InputError("--ablate takes a direction out whole: leave strength and tokens out.")
    require_free_folder(folder, MANIFEST if delta_only else _RECORD)
    examples = [] if prompts is None else open_prompts(prompts, count=count, seed=seed, chat=chat)
    loaded_steering, loaded, tokenizer = open_steered(steering, model, dtype, device_map)
    if ablate is not None:
        delta = _ablation(loaded_steering, loaded, ablate, approximate)
    else:
        delta = loaded_steering.compile(
            loaded,
            strengths[0],
            lambda_=strengths[1],
            tokens=tokens,
            reference=reference,
            execution=execution,
            approximate=approximate,
        )
    out.print(Text(f"{'exact' if delta.exact else 'approximate'}: {delta.reason}"), soft_wrap=True)
    if examples and ablate is None:
        found = loaded_steering.compilable(
            loaded,
            strengths[0],
            lambda_=strengths[1],
            tokens=tokens,
            reference=reference,
            execution=execution,
            tokenizer=tokenizer,
            prompts=examples,
        )
        out.print(Text(str(found)), soft_wrap=True)
    if delta_only:
        delta.save(folder)
    else:
        _write_checkpoint(delta, loaded, tokenizer, folder)
    note(f"written to {folder}")


def _ablation(steering: "Steering", model: Any, state: int, approximate: bool) -> "WeightDelta":
    from steersman.compiling import ablate

    vectors = steering.features.vectors
    if not 0 <= state < len(vectors):
        raise InputError(f"--ablate {state}: expected a state from 0 to {len(vectors) - 1}.")
    return ablate(model, vectors[state], approximate=approximate)


def _write_checkpoint(delta: "WeightDelta", model: Any, tokenizer: Any, folder: Any) -> None:
    from steersman.store import write_document

    delta.merged(model).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    content = {
        "method": delta.method,
        "exact": delta.exact,
        "reason": delta.reason,
        "model": delta.base.name,
        "fingerprint": delta.base.fingerprint,
        "changed": list(delta.changes),
    }
    write_document(_KIND, _VERSION, content, folder / _RECORD)
