"""One method on one seed: tuned on the validation split, then evaluated on the test split."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from steersman.conditions import Condition
from steersman.errors import SteersmanError
from steersman.evaluation.comparison.settings import UNSTEERED, ComparisonSettings
from steersman.evaluation.comparison.speed import paces
from steersman.evaluation.comparison.tuning import Tuned, Tuner
from steersman.evaluation.evaluating import evaluate
from steersman.evaluation.folder import write_json
from steersman.evaluation.result import Evaluation
from steersman.evaluation.task import Task
from steersman.jsonable import plain
from steersman.methods import Method
from steersman.steering import Steering

STEERING, TUNED, TIMING = "steering", "tuned.json", "timing.json"
BUDGET, IN_CONTEXT = "at-budget", "in-context"


@dataclass(frozen=True, eq=False)
class Cell:
    """What a method does on the test prompts of one seed; or what the bare model does.

    Args:
        seed: which.
        tuned: how it got its strength; None for the bare model.
        scored: the task at that strength; None where there is none.
        beside: the tasks that should be left alone, by their names.
        asked: the task at every target that was asked for.
        refused: targets that cannot be asked for, with the reason.
        in_context: the bare model behind desired contexts; None where the task knows none.
        timing: seconds of the fit and the calibration, and seconds a token.
    """

    seed: int
    tuned: Tuned | None = None
    scored: Evaluation | None = None
    beside: Mapping[str, Evaluation] = field(default_factory=dict)
    asked: Mapping[float, Evaluation] = field(default_factory=dict)
    refused: Mapping[float, str] = field(default_factory=dict)
    in_context: Evaluation | None = None
    timing: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Bench:
    """Makes cells; what a folder holds already is read from there.

    Args:
        model: the model, with nothing attached.
        tokenizer: its tokenizer.
        task: what is asked.
        beside: tasks that should be left alone.
        settings: what is compared, and how.
        out: where cells are kept; None keeps nothing.
        step: told of every part that is done.
    """

    model: nn.Module
    tokenizer: Any
    task: Task
    beside: tuple[Task, ...]
    settings: ComparisonSettings
    out: Path | None
    step: Callable[[], Any]

    def bare(self, seed: int) -> Cell:
        """The unsteered model."""
        where = self._folder(UNSTEERED, seed)
        context = self.task.in_context()
        return Cell(
            seed,
            scored=self._evaluated(self.task, Condition(), seed, where, BUDGET),
            beside=self._left_alone(Condition(), seed, where),
            in_context=None
            if context is None
            else self._evaluated(context, Condition(), seed, where, IN_CONTEXT),
        )

    def steered(self, label: str, method: Method, tuner: Tuner) -> Cell:
        """A method at the strength that the budget allows, and at every target."""
        seed = tuner.material.seed
        where = self._folder(label, seed)
        tuned, timing = self._tuned(method, tuner, where)
        self.step()
        if tuned.failure is not None or tuned.steering is None:
            return Cell(seed, tuned, timing=timing)
        at_budget = Condition(tuned.steering, tuned.strength)
        asked: dict[float, Evaluation] = {}
        refused: dict[float, str] = {}
        for target in self.settings.targets:
            condition = Condition(tuned.steering, target)
            try:
                with condition.attach(self.model):
                    pass
            except SteersmanError as error:
                refused[target] = str(error)
                continue
            name = f"target-{target:g}"
            asked[target] = self._evaluated(self.task, condition, seed, where, name)
        return Cell(
            seed,
            tuned,
            scored=self._evaluated(self.task, at_budget, seed, where, BUDGET),
            beside=self._left_alone(at_budget, seed, where),
            asked=asked,
            refused=refused,
            timing=timing,
        )

    def _tuned(
        self, method: Method, tuner: Tuner, where: Path | None
    ) -> tuple[Tuned, Mapping[str, float]]:
        if where is not None and (where / TUNED).exists() and (where / TIMING).exists():
            found = json.loads((where / TUNED).read_text(encoding="utf-8"))
            found["strength"] = float("nan") if found["strength"] is None else found["strength"]
            found["notes"] = tuple(found["notes"])
            saved = None if found["failure"] else Steering.from_pretrained(where / STEERING)
            return Tuned(saved, **found), json.loads((where / TIMING).read_text(encoding="utf-8"))
        if where is not None:
            where.mkdir(parents=True, exist_ok=True)
        tuned = tuner.tuned(method, None if where is None else where / STEERING)
        timing = tuned.seconds | self._speed(tuned, tuner)
        if where is not None:
            write_json(plain(tuned.to_dict()), where / TUNED)
            write_json(plain(timing), where / TIMING)
        return tuned, timing

    def _speed(self, tuned: Tuned, tuner: Tuner) -> dict[str, float]:
        if tuned.failure is not None or tuned.steering is None or not self.settings.repeats:
            return {}
        timed = paces(
            self.model,
            self.tokenizer,
            tuner.prompts()[: self.settings.batch_size],
            Condition(tuned.steering, tuned.strength),
            new_tokens=tuner.material.new_tokens,
            repeats=self.settings.repeats,
        )
        return timed.medians()

    def _left_alone(
        self, condition: Condition, seed: int, where: Path | None
    ) -> dict[str, Evaluation]:
        return {
            one.name: self._evaluated(one, condition, seed, where, f"beside-{safe(one.name)}")
            for one in self.beside
        }

    def _evaluated(
        self, task: Task, condition: Condition, seed: int, where: Path | None, name: str
    ) -> Evaluation:
        """A task on the test split, the same prompts and random numbers whatever is attached."""
        found = evaluate(
            *(self.model, self.tokenizer, task, condition.steering, condition.target),
            split="test",
            seeds=(seed,),
            count=self.settings.count,
            batch_size=self.settings.batch_size,
            out=None if where is None else where / name,
            progress=False,
        )
        self.step()
        return found

    def _folder(self, label: str, seed: int) -> Path | None:
        return None if self.out is None else self.out / "cells" / safe(label) / f"seed-{seed}"


def safe(name: str) -> str:
    """A name as a folder can have it; names that differ have folders that differ."""
    found = "".join(c if (c.isascii() and c.isalnum()) or c in "-_.+" else "-" for c in name)
    if found == name and not name.startswith("."):
        return name
    return f"{found.lstrip('.')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
