"""Reproduce a paper: measure its tables and figures, one after the other."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from torch import nn

from steersman.errors import InputError, MissingExtraError, SteersmanError
from steersman.evaluation import Task
from steersman.evaluation.evaluating import model_identity
from steersman.evaluation.folder import SETTINGS, SUMMARY, Folder
from steersman.evaluation.judges import Judge
from steersman.evaluation.sources import Given
from steersman.evaluation.tasks.knowledge import FEW
from steersman.pages import write_page
from steersman.plant import CHUNK, require_evaluation
from steersman.reproduction.bench import Bench
from steersman.reproduction.found import Found
from steersman.reproduction.item import Item, Need, Sizes
from steersman.reproduction.page import figures
from steersman.reproduction.papers import Paper, paper_named
from steersman.reproduction.result import Done, Reproduction
from steersman.reproduction.sources import EXPECTED, Sources, sources_of, world

FOUND, FITS, FIGURES = "found.json", "fits", "figures"
_KINDS = {"concepts": "concepts:NAME", "concepts+": "concepts:NAME"}
"""What needs of concepts are called where data are given."""


def reproduce(
    model: nn.Module,
    tokenizer: Any,
    paper: str = "alqr",
    item: str | None = None,
    *,
    out: str | Path,
    data: Mapping[str, Given | Task] | None = None,
    judges: Mapping[str, Sequence[Judge | str]] | None = None,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    recipes: Mapping[str, str] | None = None,
    chat: bool = True,
    shots: int = FEW,
    count: int | None = None,
    seeds: Sequence[int] | None = None,
    pairs: int | None = None,
    jacobians: int | None = None,
    lambdas: Sequence[float] | None = None,
    batch_size: int | None = None,
    chunk: int = CHUNK,
    progress: bool = True,
) -> Reproduction:
    """A paper's tables and figures, measured here, beside the numbers that it gives.

    What an item needs and is not there is an error that says what to give, where the item was
    asked for by its name, and is told with the reason where all are. Every item is taken up again
    where it was interrupted, and ends in the same numbers; times alone are never the same twice.

    Args:
        model: the model, in evaluation mode, with nothing attached; it is not changed.
        tokenizer: its tokenizer.
        paper: "alqr" or "odesteer".
        item: one of its tables and figures; None is all that there are data for.
        out: a folder for everything; items of several calls stand on one page there.
        data: by kind ("toxicity", "truthfulness", "refusal" or "harmful" and "harmless",
            "concepts:NAME", "knowledge", "prompts") a path, a data set of the hub, or a task of
            your own; None is the wind tunnel's closed world, for the model that comes with the
            package.
        judges: by kind, as in `task_named`; the task's own where none are given.
        columns: by kind, what your columns are called -> what they are called here.
        recipes: by kind, how continuations are drawn; as in the paper where none is given.
        chat: whether requests of "refusal" are a user's messages.
        shots: how many answered questions come before each of "knowledge".
        count: prompts, questions or trials of each seed; None is the paper's number, item by item,
            and so for the next three.
        seeds: for each, other prompts and other random numbers.
        pairs: examples on each side to fit on.
        jacobians: prompts that the plant is averaged over.
        lambdas: strengths of the paper's forms (of ODESteer the lengths of the path); None are
            those of its scripts for this model.
        batch_size: rows at a time.
        chunk: rows of a Jacobian at a time; bounds the memory.
        progress: say what is going on.

    Returns:
        Our numbers and the published ones: `.summary()`, `.to_html(path)`, `.to_dict()`; the page,
        the numbers and the figures are in the folder, too.

    Raises:
        InputError: data that an item needs are missing or cannot be used, sizes that cannot be, or
            a folder that cannot be written.
        MismatchError: the folder holds a reproduction of another model, or this item with other
            settings.
        UnknownNameError: no such paper, item or kind of data.
        AttachedError: the model already carries a steering.
    """
    require_evaluation(model)
    known = paper_named(paper)
    chosen = known.items if item is None else (known.item(item),)
    if data is None:
        _require_none(judges=judges, columns=columns, recipes=recipes)
        sources = world()
    else:
        given = {kind for kind, one in data.items() if not isinstance(one, Task)}
        usual = {kind: recipe for kind, recipe in known.recipes.items() if kind in given}
        sources = sources_of(
            data,
            judges=judges,
            columns=columns,
            recipes=usual | dict(recipes or {}),
            chat=chat,
            shots=shots,
        )
    skipped = {one.name: reason for one in chosen if (reason := lacking(one, sources))}
    if item is not None and skipped:
        raise InputError(skipped[item])
    some = None if seeds is None else tuple(seeds)
    sizes = {
        one.name: one.sizes.changed(count, some, pairs, jacobians, batch_size)
        for one in chosen
        if one.name not in skipped
    }
    strengths = None if lambdas is None else _strengths(lambdas)
    identity = model_identity(model, tokenizer)
    root = Folder(Path(out), {"paper": paper, "model": identity})
    assert root.path is not None
    try:
        runner = _Runner(
            *(model, tokenizer, str(identity["name"]), sources, root.path),
            *(strengths, chunk, progress),
        )
        failed = runner.measure(known, sizes, alone=item is not None)
        found = Reproduction(known, identity, there(known, root.path), skipped, failed)
        root.write(SUMMARY, found.to_dict())
        _write_figures(found, root.path / FIGURES)
    finally:
        root.close()
    return found


def lacking(item: Item, sources: Sources) -> str:
    """Which data an item needs that are not there, and what to give; "" where none.

    Args:
        item: which.
        sources: the data that there are.
    """
    told = [_told(need) for need in item.needs if not any(sources.has(kind) for kind in need)]
    return f"{item.name} needs data that were not given: {'; and '.join(told)}." if told else ""


def there(paper: Paper, folder: Path) -> tuple[Done, ...]:
    """Every item of a paper that a folder holds, in the paper's order.

    Args:
        paper: which.
        folder: of a reproduction.
    """
    found = []
    for item in paper.items:
        where = folder / item.name
        if (where / FOUND).exists():
            settings = json.loads((where / SETTINGS).read_text(encoding="utf-8"))
            numbers = json.loads((where / FOUND).read_text(encoding="utf-8"))
            found.append(Done(item, settings, Found.from_dict(numbers)))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class _Runner:
    """Measures items; fields as in `reproduce`, `name` is the model's."""

    model: nn.Module
    tokenizer: Any
    name: str
    sources: Sources
    out: Path
    lambdas: tuple[float, ...] | None
    chunk: int
    progress: bool

    def measure(self, paper: Paper, sizes: Mapping[str, Sizes], alone: bool) -> dict[str, str]:
        """Every item that is not there yet.

        Args:
            paper: whose.
            sizes: of every item that is to be measured.
            alone: whether what goes wrong is an error, because one item was asked for.

        Returns:
            Why items failed, by their names.
        """
        failed = {}
        for place, (name, size) in enumerate(sizes.items(), 1):
            item = paper.item(name)
            folder = Folder(self.out / name, self._settings(item, size))
            try:
                if folder.read(FOUND) is None:
                    self._say(f"{place} of {len(sizes)}: {item.title}")
                    folder.write(FOUND, item.measure(self._bench(size, folder.path)).to_dict())
            except SteersmanError as error:
                if alone:
                    raise
                failed[name] = str(error)
            finally:
                folder.close()
        return failed

    def _bench(self, sizes: Sizes, folder: Path | None) -> Bench:
        assert folder is not None
        return Bench(
            *(self.model, self.tokenizer, self.name, self.sources, sizes, self.lambdas),
            *(folder, self.out / FITS, self.chunk, self.progress),
        )

    def _settings(self, item: Item, sizes: Sizes) -> dict[str, Any]:
        return {
            "item": item.name,
            "sizes": vars(sizes),
            "lambdas": self.lambdas,
            "data": self.sources.settings(item.needs),
        }

    def _say(self, words: str) -> None:
        if self.progress:
            sys.stderr.write(f"{words}\n")


def _told(need: Need) -> str:
    """What to give for one need."""
    ways = [f"{kind}=PATH, {EXPECTED[kind]}" for kind in (_KINDS.get(one, one) for one in need)]
    return " or ".join(ways)


def _write_figures(found: Reproduction, folder: Path) -> None:
    """Every item's figure as an SVG file; none without matplotlib."""
    try:
        drawn = figures(found)
    except MissingExtraError:
        return
    folder.mkdir(exist_ok=True)
    for name, figure in drawn.items():
        write_page(figure, folder / f"{name}.svg")


def _strengths(lambdas: Sequence[float]) -> tuple[float, ...]:
    found = tuple(float(one) for one in lambdas)
    if not found or len(set(found)) < len(found) or not all(map(isfinite, found)):
        raise InputError(
            f"lambdas are {list(found)}: give at least one, each once, and finite numbers."
        )
    return found


def _require_none(**given: object) -> None:
    for name, value in given.items():
        if value:
            raise InputError(f"{name} belong to a data set: give one with data.")
