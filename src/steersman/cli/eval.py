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
from steersman.errors import InputError

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
ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="A model on the Hugging Face hub, a folder, or [bold]windtunnel[/bold].",
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
DataPaths = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        "-d",
        metavar="[KIND=]PATH",
        help="A file, a folder or a data set on the hub; without, the wind tunnel's closed world. "
        "Of refusal once for each kind, harmful=PATH and harmless=PATH, or one folder.",
        show_default=False,
    ),
]
Judges = Annotated[
    list[str] | None,
    typer.Option(
        "--judge",
        "-j",
        metavar="JUDGE",
        help="classifier:MODEL@LABEL, causal:MODEL, endpoint:MODEL@URL or perplexity:MODEL; as "
        "many as you like. The task's own without.",
        show_default=False,
    ),
]
Beside = Annotated[
    list[str] | None,
    typer.Option(
        "--beside",
        metavar="TASK[=PATH]",
        help="A task that the steering should leave alone, such as knowledge; as many as you like. "
        "Its score joins the side effects.",
        show_default=False,
    ),
]
RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help="How continuations are drawn: alqr, as in the paper; plain; for toxicity also rtp.",
        show_default=False,
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="THEIRS=OURS",
        help="What the data call a column that is expected under another name.",
        show_default=False,
    ),
]
ChatOption = Annotated[
    bool, typer.Option("--chat/--no-chat", help="Whether requests of refusal are messages.")
]
Shots = Annotated[
    str,
    typer.Option(
        metavar="N|FILE",
        help="Answered questions before each of knowledge, 0 to 5; or before each of "
        "truthfulness:choices those of a file with the columns question and answer.",
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
Seeds = Annotated[
    str, typer.Option("--seeds", metavar="N,N,...", help="For each, other prompts and draws.")
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
    from steersman.evaluation import evaluate, task_named
    from steersman.evaluation.folder import PAGE, SETTINGS
    from steersman.steering import Steering

    require_free_folder(folder, SETTINGS)
    asked, paper = strength_of(target, "--target"), strength_of(lambda_, "--lambda")
    numbers = _numbers(seeds)
    chosen = task_named(
        task,
        _data(data),
        judges=judge,
        recipe=recipe,
        columns=_named(column, "--column") if column else None,
        chat=chat,
        shots=int(shots) if shots.isdecimal() else shots,
    )
    others = [task_named(name, path or None) for name, path in map(_beside, beside or ())]
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


def _numbers(words: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in words.split(","))
    except ValueError as error:
        raise InputError(f"--seeds {words}: expected whole numbers such as 0,1,2.") from error


def _data(given: list[str] | None) -> str | dict[str, str] | None:
    """One path, or a path of each kind."""
    if not given:
        return None
    if len(given) == 1 and "=" not in given[0]:
        return given[0]
    return _named(given, "--data")


def _named(words: list[str], option: str) -> dict[str, str]:
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise InputError(f"{option} {word}: with several, each needs a name, as NAME={word}.")
        found[name] = value
    return found


def _beside(word: str) -> tuple[str, str]:
    """A task's name, and where its data are, or nothing."""
    name, _, path = word.partition("=")
    return name, path
