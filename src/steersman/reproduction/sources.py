"""The data of a reproduction: the wind tunnel's closed world, or data sets by their kinds."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steersman.data import Example, read_prompts
from steersman.data.examples import plain
from steersman.errors import InputError, UnknownNameError
from steersman.evaluation import Task, task_named
from steersman.evaluation.judges import Judge
from steersman.evaluation.sources import Given
from steersman.evaluation.tasks import world_task
from steersman.evaluation.tasks.concepts import WHAT as CONCEPTS
from steersman.evaluation.tasks.knowledge import FEW
from steersman.evaluation.tasks.knowledge import WHAT as KNOWLEDGE
from steersman.evaluation.tasks.refusal import WHAT as REFUSAL
from steersman.evaluation.tasks.toxicity import WHAT as TOXICITY
from steersman.evaluation.tasks.truthfulness import ANSWERS
from steersman.local_linearity import TEXTS, Prompts
from steersman.windtunnel import domains

PROMPTS, CONCEPT = "prompts", "concepts:"
EXPECTED: Mapping[str, str] = {
    "toxicity": TOXICITY,
    "truthfulness": ANSWERS,
    "refusal": REFUSAL,
    "harmful": REFUSAL,
    "harmless": REFUSAL,
    "concepts:NAME": CONCEPTS,
    "knowledge": KNOWLEDGE,
    PROMPTS: "texts or conversations, perhaps with a column 'domain'",
}
"""Every kind of data, and the form that is expected."""
_ALL = 64
"""How many prompts tell one choice of them from another."""
_WORLD = ("toxicity", "truthfulness", "refusal", "concepts:sea", "concepts:forest", "knowledge")


@dataclass(frozen=True, eq=False)
class Sources:
    """Tasks by the kind of their data, and prompts.

    Args:
        tasks: by kind; concepts each by its own name.
        prompts: so many prompts, by domain.
    """

    tasks: Mapping[str, Task]
    prompts: Callable[[int], Prompts]

    def has(self, kind: str) -> bool:
        """Whether there are data of a kind; "concepts" asks for one concept, "concepts+" for two.

        Args:
            kind: which.
        """
        if kind == PROMPTS:  # some come with the package
            return True
        if kind.startswith("concepts"):
            return len(self.concepts) >= 1 + kind.endswith("+")
        return kind in self.tasks

    @property
    def concepts(self) -> tuple[Task, ...]:
        """Tasks of concepts, in the order given."""
        return tuple(task for name, task in self.tasks.items() if name.startswith(CONCEPT))

    def first(self, kinds: Sequence[str]) -> Task:
        """The task of the first kind that there is.

        Args:
            kinds: the best first.

        Raises:
            InputError: there is none of them.
        """
        for kind in kinds:
            if self.has(kind):
                return self.concepts[0] if kind == "concepts" else self.tasks[kind]
        raise InputError(f"there are no data of any of the kinds {', '.join(kinds)}.")

    def settings(self, needs: Sequence[Sequence[str]]) -> dict[str, Any]:
        """What the data are that some needs are met with, as plain data.

        Args:
            needs: kinds of which one will do, each.
        """
        found: dict[str, Any] = {}
        for kinds in needs:
            if kinds == (PROMPTS,):
                found[PROMPTS] = _hash(self.prompts(_ALL))
            elif any(kind.endswith("+") for kind in kinds):
                found |= {task.name: task.settings() for task in self.concepts[:2]}
            else:
                task = self.first(kinds)
                found[task.name] = task.settings()
        return found


def world() -> Sources:
    """Everything of the wind tunnel."""
    tasks = {name: world_task(name) for name in _WORLD}
    return Sources(tasks, lambda count: dict(domains(0, max(2, -(-count // 4)))))


def sources_of(
    data: Mapping[str, Given | Task],
    *,
    judges: Mapping[str, Sequence[Judge | str]] | None = None,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    recipes: Mapping[str, str] | None = None,
    chat: bool = True,
    shots: int = FEW,
) -> Sources:
    """Tasks of the data sets that are given.

    Args:
        data: by kind a path, a data set of the hub, or a task of your own.
        judges: by kind; the task's own where none are given.
        columns: by kind, what your columns are called -> what they are called here.
        recipes: by kind, how continuations are drawn; the task's own where none is given.
        chat: whether requests of "refusal" are a user's messages.
        shots: how many answered questions come before each of "knowledge".

    Raises:
        InputError: data that cannot be used; names the file and the field.
        UnknownNameError: no such kind, judge or recipe.
    """
    known = _gathered(data)
    for name, given in (("judges", judges), ("columns", columns), ("recipes", recipes)):
        for kind in given or ():
            if kind not in known:
                raise InputError(f"{name} are given for {kind!r}, of which there are no data.")
    tasks: dict[str, Task] = {}
    for kind, one in known.items():
        if isinstance(one, Task):
            tasks[kind] = one
        elif kind != PROMPTS:
            asked: dict[str, Any] = {
                "judges": (judges or {}).get(kind),
                "columns": (columns or {}).get(kind),
                "recipe": (recipes or {}).get(kind),
            }
            tasks[kind] = _task(kind, one, asked, chat, shots)
    given_prompts = known.get(PROMPTS)
    if given_prompts is None:
        return Sources(tasks, _texts)
    found = read_prompts(str(given_prompts))
    return Sources(tasks, lambda count: _some(found, count))


def _task(kind: str, data: Any, asked: dict[str, Any], chat: bool, shots: int) -> Task:
    # Of what the task has no use for it says so itself, where it was given.
    used = {name: one for name, one in asked.items() if one is not None}
    if kind == "knowledge":
        return task_named(kind, data, shots=shots, **used)
    return task_named(kind, data, chat=chat, **used)


def _gathered(data: Mapping[str, Given | Task]) -> dict[str, Any]:
    """Harmful and harmless requests as one kind.

    Raises:
        InputError: a folder of both beside a file of one.
        UnknownNameError: no such kind.
    """
    if "refusal" in data and {"harmful", "harmless"} & set(data):
        raise InputError("give requests as refusal=FOLDER, or as harmful=FILE and harmless=FILE.")
    found: dict[str, Any] = {}
    for kind, one in data.items():
        concept = kind.startswith(CONCEPT) and kind != CONCEPT
        if kind not in EXPECTED and not concept or kind == "concepts:NAME":
            raise UnknownNameError(
                f"there are no data of kind {kind!r}; choose one of {', '.join(EXPECTED)}."
            )
        if kind in ("harmful", "harmless"):
            found.setdefault("refusal", {})[kind] = one
        else:
            found[kind] = one
    return found


def _texts(count: int) -> Prompts:
    return _some(dict(TEXTS), count)


def _some(texts: Mapping[str, Sequence[Example]], count: int) -> Prompts:
    """About so many in all, as many of each domain."""
    each = max(2 if len(texts) == 1 else 1, -(-count // len(texts)))
    return {domain: list(some)[:each] for domain, some in texts.items()}


def _hash(prompts: Prompts) -> str:
    """SHA-256 of prompts by domain."""
    assert isinstance(prompts, Mapping)
    told = {domain: [plain(one) for one in some] for domain, some in prompts.items()}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
