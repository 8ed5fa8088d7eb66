"""Options of the commands that evaluate a task, and what is read from them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steersman.cli.console import note
from steersman.errors import InputError

if TYPE_CHECKING:
    from steersman.evaluation import Task

_TASKS = "toxicity, truthfulness, refusal, concepts:NAME, knowledge or fluency."
TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help=_TASKS, show_default=False)]
TaskOption = Annotated[
    str, typer.Option("--task", "-t", metavar="TASK", help=_TASKS, show_default=False)
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
Seeds = Annotated[
    str, typer.Option("--seeds", metavar="N,N,...", help="For each, other prompts and draws.")
]
ResumableFolder = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help="Where samples and scores go; an interrupted run is taken up there.",
        show_default=False,
    ),
]


@contextmanager
def kept_in(folder: Path) -> Iterator[None]:
    """Say, where the block is interrupted, that what was made is not lost."""
    try:
        yield
    except KeyboardInterrupt:
        note(f"what was made is kept in {folder}: the same command goes on there")
        raise


def numbers_of(words: str) -> tuple[int, ...]:
    """Seeds, as 0,1,2.

    Raises:
        InputError: they are no whole numbers.
    """
    try:
        return tuple(int(word) for word in words.split(","))
    except ValueError as error:
        raise InputError(f"--seeds {words}: expected whole numbers such as 0,1,2.") from error


def strengths_of(words: str, option: str) -> tuple[float, ...]:
    """Strengths, as 0.5,1.

    Args:
        words: what was typed.
        option: its name, for messages.

    Raises:
        InputError: they are no numbers.
    """
    try:
        return tuple(float(word) for word in words.split(",") if word.strip())
    except ValueError as error:
        raise InputError(f"{option} {words}: expected numbers such as 0.5,1.") from error


def data_of(given: list[str] | None) -> str | dict[str, str] | None:
    """One path, or a path of each kind.

    Raises:
        InputError: one of several has no name.
    """
    if not given:
        return None
    if len(given) == 1 and "=" not in given[0]:
        return given[0]
    return named_of(given, "--data")


def named_of(words: list[str], option: str) -> dict[str, str]:
    """What was typed as NAME=VALUE, once for each name.

    Args:
        words: what was typed.
        option: its name, for messages.

    Raises:
        InputError: a name or a value is missing.
    """
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise InputError(f"{option} {word}: with several, each needs a name, as NAME={word}.")
        found[name] = value
    return found


def tasks_of(
    task: str,
    data: list[str] | None,
    judge: list[str] | None,
    recipe: str | None,
    column: list[str] | None,
    chat: bool,
    shots: str,
    beside: list[str] | None,
) -> "tuple[Task, list[Task]]":
    """The task that was asked for, and those that are to be left alone.

    Args:
        task: its name.
        data: see `--data`, and so the others.
        judge: see there.
        recipe: see there.
        column: see there.
        chat: see there.
        shots: see there.
        beside: see there.

    Raises:
        InputError: the data or what was typed cannot be used.
        UnknownNameError: no such task or recipe.
    """
    from steersman.evaluation import task_named

    asked = task_named(
        task,
        data_of(data),
        judges=judge,
        recipe=recipe,
        columns=named_of(column, "--column") if column else None,
        chat=chat,
        shots=int(shots) if shots.isdecimal() else shots,
    )
    others = [word.partition("=") for word in beside or ()]
    return asked, [task_named(name, path or None) for name, _, path in others]
