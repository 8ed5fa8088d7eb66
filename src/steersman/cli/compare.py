"""`steersman compare`: which method does most at the same side effect."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from steersman.cli.console import note, out, require_free_folder
from steersman.cli.options import (
    BatchSize,
    DeviceMap,
    Dtype,
    Evaluations,
    PositionsName,
    Quiet,
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
    TaskOption,
    kept_in,
    numbers_of,
    strengths_of,
    tasks_of,
)
from steersman.errors import InputError

if TYPE_CHECKING:
    from steersman.calibration.aims import Budget

MethodNames = Annotated[
    str,
    typer.Option("--methods", metavar="NAME,...", help="all, or names as steersman methods says."),
]
BudgetOption = Annotated[
    str,
    typer.Option(
        "--budget",
        metavar="KIND=LIMIT",
        help="The side effect that each method may have: kl=0.1 in nats per token, perplexity=1.1 "
        "times unsteered, or effort=0.1.",
    ),
]
Targets = Annotated[
    str, typer.Option("--targets", metavar="X,X,...", help="What is asked for, natural units.")
]
Baseline = Annotated[
    str, typer.Option("--baseline", metavar="NAME", help="What the others are tested against.")
]
Count = Annotated[int, typer.Option("--count", min=1, help="Test prompts of each seed.")]
Validation = Annotated[
    int, typer.Option("--validation", min=1, help="Validation prompts of each seed.")
]
Examples = Annotated[
    int, typer.Option("--pairs", min=1, help="Examples of each side to fit on, of each seed.")
]
Maximum = Annotated[float, typer.Option(help="The largest strength that is tried.")]
Repeats = Annotated[int, typer.Option(min=0, help="How often a batch is timed.")]


def compare(
    task: TaskOption,
    model: ModelName,
    folder: ResumableFolder,
    methods: MethodNames = "all",
    budget: BudgetOption = "kl=0.1",
    targets: Targets = "0.25,0.5,0.75,1,1.25,1.5",
    baseline: Baseline = "activation-addition",
    seeds: Seeds = "0,1,2",
    count: Count = 200,
    validation: Validation = 64,
    pairs: Examples = 200,
    data: DataPaths = None,
    judge: Judges = None,
    beside: Beside = None,
    recipe: RecipeName = None,
    column: Columns = None,
    chat: ChatOption = True,
    shots: Shots = "0",
    positions: PositionsName = None,
    maximum: Maximum = 8.0,
    evaluations: Evaluations = 16,
    repeats: Repeats = 3,
    batch_size: BatchSize = 16,
    dtype: Dtype = "auto",
    device_map: DeviceMap = None,
    quiet: Quiet = False,
) -> None:
    """Compare methods at the same side effect.

    Strengths are found on validation prompts, scores are of test prompts. Writes every sample, a
    table with standard errors and paired tests, and a page. Interrupted, the same command goes on
    where it stopped.
    """
    from steersman.cli.models import open_model
    from steersman.evaluation import comparison
    from steersman.evaluation.folder import PAGE, SETTINGS

    require_free_folder(folder, SETTINGS)
    spent, numbers, asked = budget_of(budget), numbers_of(seeds), strengths_of(targets, "--targets")
    chosen, others = tasks_of(task, data, judge, recipe, column, chat, shots, beside)
    loaded, tokenizer = open_model(model, dtype, device_map)
    with kept_in(folder):
        found = comparison.compare(
            *(loaded, tokenizer, chosen),
            "all" if methods == "all" else methods.split(","),
            budget=spent,
            targets=asked,
            seeds=numbers,
            count=count,
            validation=validation,
            pairs=pairs,
            baseline=baseline,
            beside=others,
            positions=positions,
            batch_size=batch_size,
            maximum=maximum,
            evaluations=evaluations,
            repeats=repeats,
            out=folder,
            progress=not quiet,
        )
    out.print(Text(found.summary()), soft_wrap=True)
    note(f"written to {found.to_html(folder / PAGE)}")


def budget_of(word: str) -> "Budget":
    """A budget as it is typed, such as kl=0.1.

    Raises:
        InputError: no such kind of side effect, or no number.
    """
    from steersman.calibration import KL, Effort, Perplexity

    kinds: dict[str, type[Budget]] = {"kl": KL, "perplexity": Perplexity, "effort": Effort}
    name, _, limit = word.partition("=")
    try:
        return kinds[name.strip().lower()](float(limit))
    except (KeyError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"--budget {word}: expected kl=0.1, perplexity=1.1 or effort=0.1."
        ) from error
