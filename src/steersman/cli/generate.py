"""`steersman generate`: write under a steering."""

from typing import Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from steersman.cli.console import out
from steersman.cli.options import (
    Cap,
    Chat,
    Correction,
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


def generate(
    model: Model,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", show_default=False)],
    steering: SteeringPath,
    target: Target = None,
    lambda_: Lambda = None,
    tokens: TokensOption = None,
    reference: ReferenceOption = None,
    execution: ExecutionOption = None,
    relinearize: RelinearizeOption = "fit",
    correction: Correction = 0.0,
    cap: Cap = None,
    max_new_tokens: NewTokens = 40,
    seed: Seed = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Show the unsteered text beside it.")
    ] = False,
    chat: Chat = False,
    dtype: Dtype = "auto",
    device_map: DeviceMap = None,
) -> None:
    """Continue a prompt with a steering attached."""
    from steersman.cli.models import open_steered
    from steersman.cli.strengths import strength_of
    from steersman.cli.tokens import rule_of
    from steersman.cli.writing import as_example, write
    from steersman.sampling import encode_prompts

    asked, paper = strength_of(target, "--target"), strength_of(lambda_, "--lambda")
    loaded_steering, loaded, tokenizer = open_steered(steering, model, dtype, device_map)
    encoded = encode_prompts(loaded, tokenizer, [as_example(prompt, chat)], max_new_tokens)
    attached = loaded_steering.attach(
        loaded,
        asked,
        lambda_=paper,
        tokens=rule_of(tokens, tokenizer),
        reference=reference,
        execution=execution,
        relinearize=relinearize,
        correction=correction,
        cap=cap,
        trace=False,
    )
    with attached:
        steered = write(loaded, tokenizer, encoded, new_tokens=max_new_tokens, seed=seed)
    if not compare:
        out.print(Text(steered), soft_wrap=True)
        return
    unsteered = write(loaded, tokenizer, encoded, new_tokens=max_new_tokens, seed=seed)
    out.print(_side_by_side(unsteered, steered))


def _side_by_side(unsteered: str, steered: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    table.add_column("unsteered", ratio=1, overflow="fold")
    table.add_column("steered", ratio=1, overflow="fold")
    table.add_row(Text(unsteered), Text(steered))
    return table
