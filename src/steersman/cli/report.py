"""`steersman report`: a page that shows what a steering does on a few prompts."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
    from steersman.cli.page import Written
    from steersman.engines import Run
    from steersman.plant import Encoded

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
    from steersman.cli.models import open_steered
    from steersman.cli.page import compose
    from steersman.cli.strengths import shown, strength_of
    from steersman.cli.tokens import rule_of
    from steersman.cli.writing import as_example
    from steersman.plots import THEME
    from steersman.report import write_report
    from steersman.sampling import encode_prompts

    require_free_file(page, THEME)
    asked, paper = strength_of(target, "--target"), strength_of(lambda_, "--lambda")
    chosen, loaded, tokenizer = open_steered(steering, model, dtype, device_map)
    encoded = [
        encode_prompts(loaded, tokenizer, [as_example(p, chat)], max_new_tokens) for p in prompt
    ]
    rule = rule_of(tokens, tokenizer)
    run = chosen.attach(
        loaded,
        asked,
        lambda_=paper,
        tokens=rule,
        reference=reference,
        execution=execution,
        relinearize=relinearize,
    )
    # At target 0 nothing is added: the bare model, with a trace. A plan takes one pass for it.
    zero = dict.fromkeys(chosen.features.names, 0.0)
    how: Literal["plan", "feedback"] = "plan" if bool(chosen.plan.any()) else "feedback"
    bare = chosen.attach(loaded, zero, reference="relative", execution=how, tokens=rule)
    writers = loaded, tokenizer, prompt, encoded, max_new_tokens, seed
    steered, unsteered = _record(run, *writers), _record(bare, *writers)
    strength = shown(asked, "target") if paper is None else shown(paper, "lambda")
    made = compose(chosen, model, strength, unsteered, steered)
    out.print(Text(f"written to {write_report(made, page)}"))


def _record(
    run: "Run",
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    encoded: Sequence["Encoded"],
    new_tokens: int,
    seed: int | None,
) -> list["Written"]:
    from steersman.cli.page import Written
    from steersman.cli.writing import write

    found = []
    with run:
        for number, (prompt, tokens) in enumerate(zip(prompts, encoded, strict=True), start=1):
            note(f"writing {number} of {len(prompts)} ...")
            text = write(model, tokenizer, tokens, new_tokens=new_tokens, seed=seed)
            found.append(Written(prompt, tokens.input_ids.shape[1], text, run.traces()))
    return found
