"""The tasks by their names, in the wind tunnel or on data sets that people have."""

from collections.abc import Callable, Mapping, Sequence

from steersman.errors import InputError, UnknownNameError
from steersman.evaluation.judges import Ask, Judge, judges_of
from steersman.evaluation.sources import Given
from steersman.evaluation.task import Task
from steersman.evaluation.tasks.closed_world import world_task
from steersman.evaluation.tasks.concepts import asks_of, concepts
from steersman.evaluation.tasks.fluency import fluency
from steersman.evaluation.tasks.knowledge import knowledge
from steersman.evaluation.tasks.refusal import ASKS as REFUSAL_ASKS
from steersman.evaluation.tasks.refusal import refusal
from steersman.evaluation.tasks.toxicity import ASK as TOXICITY_ASK
from steersman.evaluation.tasks.toxicity import toxicity
from steersman.evaluation.tasks.truthfulness import ASKS as TRUTH_ASKS
from steersman.evaluation.tasks.truthfulness import answers, choices

Data = Given | Mapping[str, Given]
TASKS = (
    "toxicity",
    "truthfulness",
    "truthfulness:choices",
    "refusal",
    "concepts:NAME",
    "knowledge",
    "fluency",
)
"""Every task; of the wind tunnel, which has no answers with choices, all but the third."""


def task_named(
    name: str,
    data: Data | None = None,
    *,
    judges: Sequence[Judge | str] | None = None,
    recipe: str | None = None,
    columns: Mapping[str, str] | None = None,
    chat: bool = True,
    shots: int | Given = 0,
    subjects: Sequence[str] = (),
) -> Task:
    """A task by its name.

    Args:
        name: "toxicity", "truthfulness", "truthfulness:choices", "refusal", "concepts:NAME",
            "knowledge" or "fluency".
        data: a path, or a data set of the hub; of "refusal" also a path by each kind. None is the
            wind tunnel's closed world, for the model that comes with the package.
        judges: who judges, as objects or as `judges_of` reads them; None is the task's own.
        recipe: how continuations are drawn: "alqr" as in the paper, "plain", or one of the task's.
        columns: what your columns are called -> what they are called here.
        chat: whether requests of "refusal" are a user's messages.
        shots: how many answered questions come before each of "knowledge"; before each of
            "truthfulness:choices" those of a file of records with "question" and "answer".
        subjects: subjects of "knowledge"; none is all.

    Raises:
        UnknownNameError: no such task or recipe.
        InputError: the data or judges cannot be used; says what was found and expected.
    """
    kind, _, more = name.partition(":")
    if data is None:
        if judges is not None or recipe is not None or columns is not None:
            raise InputError("judges, recipe and columns belong to a data set: give one with data.")
        return world_task(name)
    if isinstance(data, Mapping) and kind != "refusal":
        raise InputError(f"{kind} takes one data set, and here are {', '.join(data)}.")
    asks = {"toxicity": (TOXICITY_ASK,), "truthfulness": TRUTH_ASKS, "refusal": REFUSAL_ASKS}
    own = _judges(judges, asks_of(more) if kind == "concepts" else asks.get(kind, ()))
    if kind == "refusal" and not more:
        return refusal(data, recipe=recipe, judges=own, columns=columns, chat=chat)
    assert not isinstance(data, Mapping)
    makers: dict[str, Callable[[], Task]] = {
        "toxicity": lambda: toxicity(data, recipe=recipe, judges=own, columns=columns),
        "truthfulness": lambda: answers(data, recipe=recipe, judges=own),
        "truthfulness:choices": lambda: choices(data, shots=_shots_file(shots)),
        "knowledge": lambda: knowledge(data, shots=_shots_number(shots), subjects=subjects),
        "fluency": lambda: fluency(data, recipe=recipe, judges=own or (), columns=columns),
    }
    if kind == "concepts" and more:
        return concepts(data, more, recipe=recipe, judges=own, columns=columns)
    if name not in makers:
        raise UnknownNameError(f"there is no task {name!r}; choose one of {', '.join(TASKS)}.")
    return makers[name]()


def _shots_file(shots: int | Given) -> Given | None:
    if isinstance(shots, int) and shots:
        raise InputError(
            f"shots is {shots}: truthfulness:choices has none of its own. Give a file of records "
            "with 'question' and 'answer'."
        )
    return None if isinstance(shots, int) else shots


def _shots_number(shots: int | Given) -> int:
    if isinstance(shots, int):
        return shots
    raise InputError(
        f"shots is {str(shots)!r}; of knowledge it is a number, and the questions are its own."
    )


def _judges(given: Sequence[Judge | str] | None, asks: Sequence[Ask]) -> tuple[Judge, ...] | None:
    if given is None:
        return None
    found: list[Judge] = []
    for one in given:
        found += judges_of(one, asks) if isinstance(one, str) else [one]
    return tuple(found)


__all__ = ["TASKS", "Data", "task_named", "world_task"]
