"""Where items are measured: a model, data, and fits that several items share."""

import hashlib
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from steersman.control import LTVSystem
from steersman.data import ContrastivePairs, Example
from steersman.errors import InputError, SteersmanError
from steersman.evaluation import Evaluation, Task, evaluate
from steersman.evaluation.comparison.cells import safe
from steersman.evaluation.folder import RUN
from steersman.fitting import fit
from steersman.identifying import identify
from steersman.plant import CHUNK, locate, tokenize
from steersman.reproduction.found import Line
from steersman.reproduction.item import Sizes
from steersman.reproduction.published import UNSTEERED
from steersman.reproduction.sources import Sources
from steersman.reproduction.ways import Way
from steersman.steering import Steering


@dataclass(frozen=True, eq=False)
class Fitting:
    """Examples that steerings are fitted on, and a name for where they are kept.

    Args:
        name: what they are of.
        pairs: the examples; of several features by their names.
        notes: what to know of them.
    """

    name: str
    pairs: ContrastivePairs | Mapping[str, ContrastivePairs]
    notes: tuple[str, ...] = ()

    @property
    def each(self) -> tuple[ContrastivePairs, ...]:
        """The examples of every feature."""
        if isinstance(self.pairs, ContrastivePairs):
            return (self.pairs,)
        return tuple(self.pairs.values())

    def place(self, *more: object) -> str:
        """A few letters that differ where the examples, or what is done with them, do.

        Args:
            more: what is done with them, as plain data.
        """
        told = json.dumps([[one.fingerprint() for one in self.each], *more], default=str)
        return hashlib.sha256(told.encode()).hexdigest()[:8]


@dataclass(frozen=True, eq=False)
class Bench:
    """Everything that an item needs; fits and evaluations are taken up again where they are.

    Args:
        model: the model, with nothing attached.
        tokenizer: its tokenizer.
        name: the model's name.
        sources: the data.
        sizes: how much is measured.
        lambdas: strengths in place of those of the paper.
        out: the item's folder.
        fits: the folder of fits, which items share.
        chunk: rows of a Jacobian at a time.
        progress: show how far it is.
    """

    model: nn.Module
    tokenizer: Any
    name: str
    sources: Sources
    sizes: Sizes
    lambdas: tuple[float, ...] | None
    out: Path
    fits: Path
    chunk: int = CHUNK
    progress: bool = True

    def fitting(self, task: Task, swapped: bool = False) -> Fitting:
        """A task's examples of the fitting split.

        Args:
            task: which task.
            swapped: whether what the task calls undesired is desired here.
        """
        pairs, notes = self._short_enough(task.pairs(0, self.sizes.pairs))
        if swapped:
            turned = ContrastivePairs(pairs.undesired, pairs.desired, paired=pairs.paired)
            return Fitting(f"{task.name}, swapped", turned, notes)
        return Fitting(task.name, pairs, notes)

    def plant(self, fitting: Fitting) -> LTVSystem:
        """The plant averaged over the first desired examples, as many of each feature; kept.

        Args:
            fitting: whose examples.
        """
        where = self.fits / safe(fitting.name)
        where.mkdir(parents=True, exist_ok=True)
        share = -(-self.sizes.jacobians // len(fitting.each))
        return identify(
            self.model,
            self.tokenizer,
            [text for one in fitting.each for text in one.desired[:share]],
            chunk=self.chunk,
            checkpoint=where / f"plant-{fitting.place(self.sizes.jacobians)}.safetensors",
            progress=self.progress,
        )

    def steering(self, way: Way, fitting: Fitting) -> Steering:
        """A way's steering, as it was kept or fitted anew.

        Args:
            way: the method.
            fitting: the examples.
        """
        method = way.method
        place = fitting.place(self.sizes.jacobians, method.name, method.hyperparameters())
        folder = self.fits / safe(fitting.name) / f"{safe(method.name)}-{place}"
        if not folder.exists():  # a steering appears whole or not at all
            plant = None if method.plant == "none" else self.plant(fitting)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                fit(
                    *(self.model, self.tokenizer, fitting.pairs),
                    method=method,
                    jacobian_prompts=plant,
                    batch_size=self.sizes.batch_size,
                    progress=False,
                ).save_pretrained(folder)
        return Steering.from_pretrained(folder)

    def evaluated(
        self, task: Task, label: str, steering: Steering | None = None, way: Way | None = None
    ) -> Evaluation:
        """A task on its test split, the same prompts and random numbers whatever is attached.

        Args:
            task: what is asked.
            label: names the folder.
            steering: what is attached; None is the bare model.
            way: how it is attached.
        """
        return evaluate(
            *(self.model, self.tokenizer, task, steering),
            target=None if way is None else way.target,
            lambda_=None if way is None else way.lambda_,
            split="test",
            seeds=self.sizes.seeds,
            count=self.sizes.count,
            batch_size=self.sizes.batch_size,
            out=self.out / safe(task.name) / safe(label),
            progress=self.progress,
        )

    def kept(self, task: Task, label: str) -> Evaluation:
        """An evaluation that was made before.

        Args:
            task: what was asked.
            label: names the folder.

        Raises:
            ArtifactError: there is none.
        """
        return Evaluation.load(self.out / safe(task.name) / safe(label))

    def _short_enough(self, pairs: ContrastivePairs) -> tuple[ContrastivePairs, tuple[str, ...]]:
        """The examples that the model has room for, and how many are left out."""
        limit = locate(self.model).context
        fits = [
            [limit is None or len(one.ids) <= limit for one in tokenize(self.tokenizer, side)]
            for side in (pairs.desired, pairs.undesired)
        ]
        if pairs.paired:
            both = [a and b for a, b in zip(*fits, strict=True)]
            fits = [both, both]
        left_out = sum(not fit for side in fits for fit in side)
        if not left_out:
            return pairs, ()
        sides = [
            [text for text, fit in zip(side, good, strict=True) if fit]
            for side, good in zip((pairs.desired, pairs.undesired), fits, strict=True)
        ]
        told = f"{left_out} examples are longer than the model's context and were left out"
        kept = ContrastivePairs(sides[0], sides[1], paired=pairs.paired)
        return kept, (f"{told}.",)

    def table(
        self, task: Task, ways: Sequence[Way], fitting: Fitting
    ) -> tuple[tuple[Line, Evaluation | None], ...]:
        """The bare model and every way on a task; a way that cannot be run says why.

        Args:
            task: what is asked.
            ways: what is compared.
            fitting: what they are fitted on.

        Returns:
            Lines without values yet, each with what was found.
        """
        found: list[tuple[Line, Evaluation | None]] = [
            (Line(UNSTEERED, UNSTEERED), self.evaluated(task, UNSTEERED))
        ]
        self._foretell(task, len(ways))
        for way in ways:
            try:
                steering = self.steering(way, fitting)
                done = self.evaluated(task, way.label, steering, way)
            except SteersmanError as error:
                found.append((Line(way.label, way.published, failed=str(error)), None))
            else:
                found.append((Line(way.label, way.published), done))
        return tuple(found)

    def _foretell(self, task: Task, ways: int) -> None:
        """Say how long the ways will take, from how long the bare model took."""
        if not self.progress:
            return
        where = self.out / safe(task.name) / safe(UNSTEERED) / RUN
        runs = json.loads(where.read_text(encoding="utf-8"))["runs"] if where.exists() else ()
        seconds = sum(run["seconds"] for run in runs)
        sys.stderr.write(
            f"{ways} ways to come, about {seconds * ways / 60:.1f} min and the time of the fits\n"
        )


def fitting_in(model: nn.Module, tokenizer: Any, prompts: Sequence[Example]) -> list[Example]:
    """The prompts that a model has room for.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        prompts: texts or conversations.

    Raises:
        InputError: there is none.
    """
    limit = locate(model).context
    found = [
        prompt
        for prompt, tokens in zip(prompts, tokenize(tokenizer, prompts), strict=True)
        if limit is None or len(tokens.ids) <= limit
    ]
    if not found:
        raise InputError(f"all {len(prompts)} prompts are longer than the model's context.")
    return found
