"""`steersman report`: a page that shows what a steering does on a few prompts."""

from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from steersman.cli.console import note, out, require_free_file
from steersman.cli.options import (
    Chat,
    DeviceMap,
    Dtype,
    ExecutionOption,
    Lambda,
    Model,
    NewTokens,
    ReferenceOption,
    RelinearizeOption,
    Seed,
    SteeringPath,
    Target,
    TokensOption,
)

if TYPE_CHECKING:
    from steersman.engines import Run, Trace
    from steersman.plant import Encoded
    from steersman.report import Report
    from steersman.steering import Steering

_DEFAULT = Path("report.html")


def report(
    model: Model,
    steering: SteeringPath,
    prompt: Annotated[
        list[str],
        typer.Option("--prompt", "-p", help="A prompt; give as many as you like."),
    ],
    page: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The page to write.")
    ] = _DEFAULT,
    target: Target = None,
    lambda_: Lambda = None,
    tokens: TokensOption = None,
    reference: ReferenceOption = None,
    execution: ExecutionOption = None,
    relinearize: RelinearizeOption = "fit",
    max_new_tokens: NewTokens = 40,
    seed: Seed = None,
    chat: Chat = False,
    dtype: Dtype = "auto",
    device_map: DeviceMap = None,
) -> None:
    """Write a page: texts with and without a steering, its trace, its separation."""
    from steersman.cli.models import open_model
    from steersman.cli.writing import as_example, prepare
    from steersman.plots import THEME
    from steersman.report import write_report
    from steersman.steering import Steering

    require_free_file(page, THEME)
    chosen = Steering.from_pretrained(steering)
    loaded, tokenizer = open_model(model, dtype, device_map)
    encoded = [prepare(loaded, tokenizer, as_example(p, chat), max_new_tokens) for p in prompt]
    run = chosen.attach(
        loaded,
        target,
        lambda_=lambda_,
        tokens=tokens,
        reference=reference,
        execution=execution,
        relinearize=relinearize,
    )
    # At target 0 a plan adds nothing: the bare model, with a trace.
    bare = chosen.attach(loaded, 0.0, reference="relative", execution="plan", tokens=tokens)
    writers = loaded, tokenizer, encoded, max_new_tokens, seed
    steered, unsteered = _record(run, *writers), _record(bare, *writers)
    asked = 1.0 if target is None else target
    strength = f"target {asked:g}" if lambda_ is None else f"lambda {lambda_:g}"
    made = _compose(chosen, model, strength, prompt, encoded, unsteered, steered)
    out.print(Text(f"written to {write_report(made, page)}"))


Recorded = list[tuple[str, "Trace"]]
"""The text and the trace of each prompt."""


def _record(
    run: "Run",
    model: Any,
    tokenizer: Any,
    prompts: Sequence["Encoded"],
    new_tokens: int,
    seed: int | None,
) -> Recorded:
    from steersman.cli.writing import write

    found = []
    with run:
        for number, prompt in enumerate(prompts, start=1):
            note(f"writing {number} of {len(prompts)} ...")
            text = write(model, tokenizer, prompt, new_tokens=new_tokens, seed=seed)
            found.append((text, run.trace))
    return found


def _compose(
    steering: "Steering",
    model: str,
    strength: str,
    prompts: Sequence[str],
    encoded: Sequence["Encoded"],
    unsteered: Recorded,
    steered: Recorded,
) -> "Report":
    from steersman.plots import separation_figure
    from steersman.report import BehaviourReport, Report

    direction, made = steering.direction, steering.provenance
    # Not block 0: what goes into it, no input has reached yet.
    block = 1 + int(direction.separation[1:-1].argmax()) if made.blocks > 1 else 0
    lengths = [prompt.input_ids.shape[1] for prompt in encoded]
    before = _mean([_feature(t, block, n) for (_, t), n in zip(unsteered, lengths, strict=True)])
    after = _mean([_feature(t, block, n) for (_, t), n in zip(steered, lengths, strict=True)])
    section = BehaviourReport(
        name=strength,
        description=(
            f"The mean feature at the input of block {block}, where the examples are separated "
            "best, from the prompt's last token on, in natural units: 0 where undesired examples "
            "sit, 1 where desired ones do. The standard error is over prompts."
        ),
        method=steering.summary(),
        score_name=f"feature at block {block}, natural units",
        before=before[0],
        before_se=before[1],
        after=after[0],
        after_se=after[1],
        samples=[
            (prompt, plain, other)
            for prompt, (plain, _), (other, _) in zip(prompts, unsteered, steered, strict=True)
        ],
        figures=[
            (f"The steered run of {prompt!r}.", trace.plot())
            for prompt, (_, trace) in zip(prompts, steered, strict=True)
        ],
    )
    separation = separation_figure(direction.separation, direction.separation_se)
    return Report(
        title=f"{steering.method.name} on {model}",
        subtitle=f"What a steering does to {len(prompts)} "
        f"{'prompt' if len(prompts) == 1 else 'prompts'}, at {strength}.",
        behaviours=[section],
        figures=[("How well each state separates the examples, out of sample.", separation)],
        facts=[
            ("model", f"{made.model or made.model_type}, {made.blocks} blocks, n = {made.n}"),
            ("method", steering.method.name),
            *((name, f"{v:g}") for name, v in steering.method.hyperparameters().items()),
            *(
                (f"examples of {name}", f"{desired} desired, {undesired} undesired")
                for name, (desired, undesired) in made.pairs.items()
            ),
            ("positions", made.positions),
            ("plant averaged over", f"{made.jacobian_prompts} prompts"),
            *((name, found) for name, found in made.libraries.items()),
        ],
    )


def _feature(trace: "Trace", block: int, prompt_length: int) -> float:
    """The mean feature from the prompt's last token on, natural units."""
    return float(trace.natural(trace.feature)[0, block, prompt_length - 1 :].nanmean())


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error; that of one value is not known."""
    se = stdev(values) / sqrt(len(values)) if len(values) > 1 else float("nan")
    return fmean(values), se
