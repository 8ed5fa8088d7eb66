"""`steersman eval`: what a steering does to a task, and what it costs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from steersman.cli.console import note, out, require_free_folder
from steersman.cli.options import (
    Cap,
    Correction,
    DeviceMap,
    Dtype,
    ExecutionOption,
    Lambda,
    Quiet,
    ReferenceOption,
    RelinearizeOption,
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
    Seeds,
    Shots,
    numbers_of,
    tasks_of,
)

if TYPE_CHECKING:
    from steersman.evaluation import Evaluation

_UNSTEERED = "unsteered"

TaskName = Annotated[
    str,
    typer.Argument(
        metavar="TASK",
        help="toxicity, truthfulness, refusal, concepts:NAME, knowledge or fluency.",
        show_default=False,
    ),
]
SteeringFolder = Annotated[
    str | None,
    typer.Option(
        "--steering",
        "-s",
        metavar="DIR",
        help="A folder saved by fit, or owner/name on the hub; the bare model without.",
        show_default=False,
    ),
]
SplitOption = Annotated[
    Literal["test", "validation", "all"],
    typer.Option(
        "--split",
        help="test to report, validation to choose settings by; all to compare with published "
        "numbers, where nothing was fitted on these data.",
    ),
]
Count = Annotated[int, typer.Option(min=0, help="Prompts of each seed; 0 is all there are.")]
Rows = Annotated[int, typer.Option("--batch-size", min=1, help="Samples at a time.")]
OutFolder = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help="Where samples and scores go; an interrupted evaluation is taken up there.",
        show_default=False,
    ),
]
Baseline = Annotated[
    bool,
    typer.Option(
        "--unsteered/--no-unsteered", help="Also evaluate the bare model, to compare with."
    ),
]


def eval_(
    task: TaskName,
    model: ModelName,
    folder: OutFolder,
    steering: SteeringFolder = None,
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
    batch_size: Rows = 16,
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
            tokens=tokens,
            reference=reference,
            execution=execution,
            relinearize=relinearize,
            correction=correction,
            cap=cap,
            out=out_folder,
            progress=not quiet,
        )

    try:
        found = run(folder, True)
        bare = run(folder / _UNSTEERED, False) if unsteered and steering is not None else None
    except KeyboardInterrupt:
        note(f"what was made is kept in {folder}: the same command goes on there")
        raise
    for one in (bare, found):
        if one is not None:
            out.print(Text(one.summary()), soft_wrap=True)
    note(f"written to {found.to_html(folder / PAGE, bare)}")
