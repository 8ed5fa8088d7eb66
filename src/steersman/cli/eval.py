"""`steersman eval`: what a steering does to a task, and what it costs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from steersman.cli.console import note, out, require_free_folder
from steersman.cli.options import (
    BatchSize,
    Cap,
    Correction,
    DeviceMap,
    Dtype,
    ExecutionOption,
    Lambda,
    Quiet,
    ReferenceOption,
    RelinearizeOption,
    SteeringOrNone,
    Target,
    TokensOption,
)
from steersman.cli.tasks import (
    Beside,
    ChatOption,
    Columns,
    DataPaths,
    Judges,
    ModelName,
    RecipeName,
    ResumableFolder,
    Seeds,
    Shots,
    TaskArgument,
    kept_in,
    numbers_of,
    tasks_of,
)

if TYPE_CHECKING:
    from steersman.evaluation import Evaluation

_UNSTEERED = "unsteered"

SplitOption = Annotated[
    Literal["test", "validation", "all"],
    typer.Option(
        "--split",
        help="test to report, validation to choose settings by; all to compare with published "
        "numbers, where nothing was fitted on these data.",
    ),
]
Count = Annotated[int, typer.Option(min=0, help="Prompts of each seed; 0 is all there are.")]
Baseline = Annotated[
    bool,
    typer.Option(
        "--unsteered/--no-unsteered", help="Also evaluate the bare model, to compare with."
    ),
]


def eval_(
    task: TaskArgument,
    model: ModelName,
    folder: ResumableFolder,
    steering: SteeringOrNone = None,
    target: Target = None,
    data: DataPaths = None,
    judge: Judges = None,
    beside: Beside = None,
    recipe: RecipeName = None,
    column: Columns = None,
    chat: ChatOption = True,
    shots: Shots = "0",
    lambda_: Lambda = None,
    tokens: TokensOption = None,
    reference: ReferenceOption = None,
    execution: ExecutionOption = None,
    relinearize: RelinearizeOption = "fit",
    correction: Correction = 0.0,
    cap: Cap = None,
    split: SplitOption = "test",
    seeds: Seeds = "0",
    count: Count = 200,
    batch_size: BatchSize = 16,
    unsteered: Baseline = True,
    dtype: Dtype = "auto",
    device_map: DeviceMap = None,
    quiet: Quiet = False,
) -> None:
    """Evaluate a model on a task, steered or not.

    Writes every sample, the scores with standard errors and a page. Interrupted, the same command
    goes on where it stopped.
    """
    from steersman.cli.models import open_model
    from steersman.cli.strengths import strength_of
    from steersman.cli.tokens import rule_of
    from steersman.evaluation import evaluate
    from steersman.evaluation.folder import PAGE, SETTINGS
    from steersman.steering import Steering

    require_free_folder(folder, SETTINGS)
    asked, paper = strength_of(target, "--target"), strength_of(lambda_, "--lambda")
    numbers = numbers_of(seeds)
    chosen, others = tasks_of(task, data, judge, recipe, column, chat, shots, beside)
    loaded_steering = None if steering is None else Steering.from_pretrained(steering)
    loaded, tokenizer = open_model(model, dtype, device_map)

    def run(out_folder: Path, steered: bool) -> "Evaluation":
        return evaluate(
            *(loaded, tokenizer, chosen, loaded_steering if steered else None),
            asked if steered else None,
            split=split,
            seeds=numbers,
            count=count or None,
            batch_size=batch_size,
            beside=others,
            lambda_=paper if steered else None,
            tokens=rule_of(tokens, tokenizer),
            reference=reference,
            execution=execution,
            relinearize=relinearize,
            correction=correction,
            cap=cap,
            out=out_folder,
            progress=not quiet,
        )

    with kept_in(folder):
        found = run(folder, True)
        bare = run(folder / _UNSTEERED, False) if unsteered and steering is not None else None
    for one in (bare, found):
        if one is not None:
            out.print(Text(one.summary()), soft_wrap=True)
    note(f"written to {found.to_html(folder / PAGE, bare)}")
