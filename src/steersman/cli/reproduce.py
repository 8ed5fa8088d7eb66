"""`steersman reproduce`: a paper's tables and figures, measured here, beside its own numbers."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from steersman.cli.console import note, out, require_free_folder
from steersman.cli.options import DeviceMap, Dtype, Quiet
from steersman.cli.tasks import ChatOption, ModelName, kept_in, named_of, numbers_of, strengths_of
from steersman.errors import InputError

if TYPE_CHECKING:
    from steersman.evaluation import Task
    from steersman.evaluation.sources import Given
    from steersman.reproduction.item import Item
    from steersman.reproduction.papers import Paper


def _list(asked: bool) -> bool:
    if not asked:
        return asked
    from steersman.reproduction import PAPERS
    from steersman.reproduction.words import needed

    for paper in PAPERS.values():
        out.print(Text(f"{paper.name}: {paper.title} ({paper.source})\n", "bold"))
        for item in paper.items:
            out.print(Text(item.name, "bold"))
            told = f"{item.shows}\nNeeds {needed(item)}. At the paper's sizes: {item.work}."
            out.print(Padding(Text(told), (0, 0, 1, 4)))
    raise typer.Exit


PaperName = Annotated[
    str, typer.Argument(metavar="PAPER", help="Which paper: alqr or odesteer.", show_default=False)
]
ItemName = Annotated[
    str | None,
    typer.Argument(
        metavar="[TABLE_OR_FIGURE]",
        help="One of --list; all that there are data for without.",
        show_default=False,
    ),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        "-d",
        metavar="KIND=PATH",
        help="A file, a folder or a data set on the hub, by its kind: toxicity, truthfulness, "
        "refusal (or harmful and harmless), concepts:NAME, knowledge, prompts. The wind tunnel's "
        "model needs none.",
        show_default=False,
    ),
]
Judges = Annotated[
    list[str] | None,
    typer.Option(
        "--judge",
        "-j",
        metavar="[KIND=]JUDGE",
        help="classifier:MODEL@LABEL, causal:MODEL, endpoint:MODEL@URL or perplexity:MODEL, for "
        "data of a kind; the task's own without.",
        show_default=False,
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="[KIND:]THEIRS=OURS",
        help="What the data call a column that is expected under another name.",
        show_default=False,
    ),
]
Recipes = Annotated[
    list[str] | None,
    typer.Option(
        "--recipe",
        metavar="[KIND=]NAME",
        help="How continuations are drawn; as in the paper without.",
        show_default=False,
    ),
]
Shots = Annotated[int, typer.Option(min=0, max=5, help="Answered questions before each of MMLU.")]
Count = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Prompts, questions or trials of each seed; the paper's number without, item by item, "
        "and so the next three.",
        show_default=False,
    ),
]
Seeds = Annotated[
    str | None,
    typer.Option(metavar="N,N,...", help="For each, other prompts and draws.", show_default=False),
]
Pairs = Annotated[
    int | None,
    typer.Option(min=1, help="Examples of each side to fit on.", show_default=False),
]
Jacobians = Annotated[
    int | None,
    typer.Option(min=1, help="Prompts that the plant is averaged over.", show_default=False),
]
Lambdas = Annotated[
    str | None,
    typer.Option(
        "--lambdas",
        metavar="X,X,...",
        help="Strengths of the paper's forms; those of its scripts for this model without.",
        show_default=False,
    ),
]
Rows = Annotated[
    int | None, typer.Option("--batch-size", min=1, help="Samples at a time.", show_default=False)
]
Chunk = Annotated[int, typer.Option(min=1, help="Rows of a Jacobian at a time; less, less memory.")]
OutFolder = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help="Where all of it goes; what was interrupted is taken up there.",
        show_default=False,
    ),
]
List = Annotated[
    bool,
    typer.Option(
        "--list",
        help="Say what there is, what it needs and how much work it is.",
        is_eager=True,
        callback=_list,
    ),
]


def reproduce(
    paper: PaperName,
    model: ModelName,
    folder: OutFolder,
    item: ItemName = None,
    data: Data = None,
    judge: Judges = None,
    column: Columns = None,
    recipe: Recipes = None,
    chat: ChatOption = True,
    shots: Shots = 5,
    count: Count = None,
    seeds: Seeds = None,
    pairs: Pairs = None,
    jacobians: Jacobians = None,
    lambdas: Lambdas = None,
    batch_size: Rows = None,
    chunk: Chunk = 128,
    dtype: Dtype = "auto",
    device_map: DeviceMap = None,
    quiet: Quiet = False,
    listed: List = False,
) -> None:
    """Measure a paper's tables and figures, and show them beside its numbers.

    Writes every sample, all numbers as JSON, the figures and a page. Items of several calls stand
    on one page; interrupted, the same command goes on where it stopped.
    """
    from steersman.cli.models import WINDTUNNEL, open_model
    from steersman.evaluation.folder import PAGE, SETTINGS
    from steersman.reproduction import paper_named
    from steersman.reproduction import reproduce as measured

    known = paper_named(paper)
    asked = None if item is None else known.item(item)
    require_free_folder(folder, SETTINGS)
    numbers = None if seeds is None else numbers_of(seeds)
    strengths = None if lambdas is None else strengths_of(lambdas, "--lambdas")
    world = model == WINDTUNNEL and not data
    given = None
    if not world:
        given = _read(known, asked, data or [], judge, column, recipe, chat, shots)
    loaded, tokenizer = open_model(model, dtype, device_map)
    with kept_in(folder):
        found = measured(
            *(loaded, tokenizer, paper, item),
            out=folder,
            data=given,
            count=count,
            seeds=numbers,
            pairs=pairs,
            jacobians=jacobians,
            lambdas=strengths,
            batch_size=batch_size,
            chunk=chunk,
            progress=not quiet,
        )
    out.print(Text(found.summary()), soft_wrap=True)
    note(f"written to {found.to_html(folder / PAGE)}")
    if found.failed:
        raise typer.Exit(1)


def _read(
    paper: "Paper",
    item: "Item | None",
    data: list[str],
    judge: list[str] | None,
    column: list[str] | None,
    recipe: list[str] | None,
    chat: bool,
    shots: int,
) -> "dict[str, Given | Task]":
    """The data as tasks, so that what cannot be read is said before a model is loaded.

    Raises:
        InputError: data, judges or columns that cannot be used.
        UnknownNameError: no such kind of data, or no such recipe.
    """
    from steersman.reproduction.reproducing import lacking
    from steersman.reproduction.sources import PROMPTS, sources_of

    given = named_of(data, "--data")
    if "refusal" not in given and {"harmful", "harmless"} & set(given):
        kinds = (*given, "refusal")
    else:
        kinds = tuple(given)
    own = tuple(k for k in kinds if item and k.partition(":")[0] in _starts(item.needs[0]))
    columns = _by_kind(column, "--column", ":", kinds, own)
    recipes = _by_kind(recipe, "--recipe", "=", kinds, own)
    usual = {kind: name for kind, name in paper.recipes.items() if kind in given}
    found = sources_of(
        given,
        judges=_by_kind(judge, "--judge", "=", kinds, own),
        columns={kind: named_of(some, "--column") for kind, some in columns.items()},
        recipes=usual | {kind: some[-1] for kind, some in recipes.items()},
        chat=chat,
        shots=shots,
    )
    if item and (reason := lacking(item, found)):
        raise InputError(reason)
    prompts: dict[str, Given | Task] = {k: one for k, one in given.items() if k == PROMPTS}
    return prompts | dict(found.tasks)


def _starts(need: Sequence[str]) -> set[str]:
    return {kind.rstrip("+") for kind in need}


def _by_kind(
    words: Iterable[str] | None, option: str, mark: str, kinds: Sequence[str], own: Sequence[str]
) -> dict[str, list[str]]:
    """What was typed as `KIND` and the rest; without a kind it is of the item's own data.

    Args:
        words: what was typed.
        option: its name, for messages.
        mark: what stands behind the kind.
        kinds: of which there are data.
        own: those of the item that was asked for.

    Raises:
        InputError: no kind, and no item that would tell it.
    """
    found: dict[str, list[str]] = {}
    for word in words or ():
        named = [kind for kind in kinds if word.startswith(f"{kind}{mark}")]
        if not named and not own:
            raise InputError(
                f"{option} {word}: say which data it is for, as {option} KIND{mark}{word}, with "
                f"one of {', '.join(kinds) or 'the kinds given with --data'}."
            )
        for kind in named or own:
            rest = word.removeprefix(f"{kind}{mark}") if named else word
            found.setdefault(kind, []).append(rest)
    return found
