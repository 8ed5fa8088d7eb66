"""Evaluate a model on a task, steered or not: samples on disk, scores with standard errors."""

import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import nn
from tqdm.auto import tqdm

from steersman.conditions import Condition
from steersman.engines import Tokens
from steersman.errors import InputError
from steersman.evaluation.batches import Batch, batches_of
from steersman.evaluation.folder import RUN, SUMMARY, Folder
from steersman.evaluation.judges import Judge
from steersman.evaluation.making import Maker
from steersman.evaluation.result import Evaluation, summed_up
from steersman.evaluation.task import Split, Task
from steersman.evaluation.tasks import task_named
from steersman.methods import ExecutionName, ReferenceName
from steersman.plant import fingerprint, require_evaluation, unwrap
from steersman.provenance import library_versions, tokenizer_hash
from steersman.request import RelinearizeName, Strength
from steersman.side_by_side import Together
from steersman.steering import Steering

COUNT = 200
BATCH = 16
BESIDE = "beside"


def evaluate(
    model: nn.Module,
    tokenizer: Any,
    task: str | Task,
    steering: Steering | Together | None = None,
    target: Strength | None = None,
    *,
    split: Split = "test",
    seeds: Sequence[int] = (0,),
    count: int | None = COUNT,
    batch_size: int = BATCH,
    beside: Sequence[str | Task] = (),
    lambda_: Strength | None = None,
    tokens: Tokens | None = None,
    reference: ReferenceName | None = None,
    execution: ExecutionName | None = None,
    relinearize: RelinearizeName = "fit",
    correction: float = 0.0,
    cap: float | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> Evaluation:
    """Let a model write or choose, let judges judge, and sum up.

        score        mean over prompts of what a judge says of their continuations
        divergence   mean over tokens of KL( p_steered || p_bare ), nats

    Every batch has random numbers of its own, a function of the task, the split, the seed and the
    batch's place, so that an interrupted evaluation goes on where it stopped and ends in the same
    bytes; and a steered and an unsteered one are drawn with the same numbers.

    Args:
        model: the model, in evaluation mode, with nothing attached; it is not changed.
        tokenizer: its tokenizer.
        task: a task, or the name of one of the wind tunnel's: "toxicity", "truthfulness",
            "refusal", "concepts:sea", "knowledge", "fluency". `steersman.evaluation.task_named`
            makes tasks of data sets.
        steering: what to attach, one or several together; None evaluates the bare model.
        target: as in `Steering.attach`, and so are the others from `lambda_` to `cap`.
        split: "test"; "validation" for every choice that is made by looking at scores; "all" where
            nothing was fitted or chosen on these data, to compare with published numbers.
        seeds: for each, other prompts where there are enough, and other random numbers.
        count: prompts or questions of each seed; None is all that a data set has.
        batch_size: rows at a time; it decides rounding, so it is one of the settings.
        beside: tasks that the steering should leave alone, such as "knowledge": evaluated alike,
            their headlines join the side effects.
        lambda_: see there.
        tokens: see there.
        reference: see there.
        execution: see there.
        relinearize: see there.
        correction: see there.
        cap: see there.
        out: a folder for samples and summary; one of an interrupted evaluation is taken up again.
        progress: say how long it will take, and show how far it is.

    Returns:
        Scores with standard errors, side effects, failures and every sample.

    Raises:
        InputError: settings that cannot be used, data without such items, a folder that cannot be
            written, or a model in training mode.
        MismatchError: the steering was made for another model, or the folder holds an evaluation
            with other settings.
        UnknownNameError: no such task.
        AttachedError: the model already carries a steering.
    """
    require_evaluation(model)
    _require_usable(seeds, batch_size)
    asked, *others = (task_named(t) if isinstance(t, str) else t for t in (task, *beside))
    condition = Condition(
        *(steering, target, lambda_, tokens, reference, execution, relinearize, correction, cap)
    )
    with condition.attach(model):  # what cannot be attached is said before anything is written
        pass
    for one in (asked, *others):
        _prepare(one.judges)
    plan = _Plan(model, tokenizer, condition, split, tuple(seeds), count, batch_size, progress)
    return plan.evaluated(asked, None if out is None else Path(out), others)


@dataclass(frozen=True, eq=False)
class _Plan:
    """Everything that the evaluation of several tasks has in common; fields as in `evaluate`."""

    model: nn.Module
    tokenizer: Any
    condition: Condition
    split: Split
    seeds: tuple[int, ...]
    count: int | None
    batch_size: int
    progress: bool

    def evaluated(self, task: Task, out: Path | None, beside: Sequence[Task] = ()) -> Evaluation:
        """One task, with what others show on its panel."""
        batches = batches_of(task, self.split, self.seeds, self.count, self.batch_size)
        folder = Folder(out, self._settings(task, beside))
        maker = Maker(self.model, self.tokenizer, task, self.condition, self.batch_size)
        try:
            _make(maker, batches, folder, self.progress)
            found = summed_up(task, folder.settings, folder.rows)
            for other in beside:
                inner = None if out is None else out / BESIDE / other.name.replace(":", "-")
                headline = self.evaluated(other, inner).headline
                name = f"{other.headline} of {other.name}"
                found = replace(found, panel={**found.panel, name: headline})
            folder.write(SUMMARY, found.to_dict())
        finally:
            folder.close()
        return found

    def _settings(self, task: Task, beside: Sequence[Task]) -> dict[str, Any]:
        return {
            "task": task.settings(),
            "split": self.split,
            "seeds": list(self.seeds),
            "count": self.count,
            "batch_size": self.batch_size,
            "model": model_identity(self.model, self.tokenizer),
            "steering": self.condition.settings(),
        } | ({"beside": [other.settings() for other in beside]} if beside else {})


def _make(maker: Maker, batches: Sequence[Batch], folder: Folder, progress: bool) -> None:
    """Make every batch that is not there yet."""
    done = folder.resume([[slot.begins() for slot in batch.slots] for batch in batches])
    total, there = sum(len(b.slots) for b in batches), len(folder.rows)
    started, run = time.time(), _Runs(folder, there, time.time())
    name = f"evaluate {maker.task.name}"
    with tqdm(total=total, initial=there, desc=name, unit="sample", disable=not progress) as bar:
        for index, batch in enumerate(batches[done:]):
            folder.append(maker.rows(batch))
            bar.update(len(batch.slots))
            run.note(len(folder.rows))
            if index == 0 and progress:
                seconds = (time.time() - started) / len(batch.slots) * (total - there)
                bar.write(_expected(total - there, there, seconds), file=sys.stderr)


class _Runs:
    """When which samples were made, and on what: what must not be in the summary."""

    def __init__(self, folder: Folder, there: int, started: float) -> None:
        self._folder, self._there, self._started = folder, there, started
        before = folder.read(RUN)
        self._before = before.get("runs", []) if isinstance(before, Mapping) else []

    def note(self, rows: int) -> None:
        """Write down how far this run is."""
        one = {
            "started": datetime.fromtimestamp(self._started, UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - self._started, 3),
            "samples": rows - self._there,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "libraries": library_versions(),
        }
        self._folder.write(RUN, {"runs": [*self._before, one]})


def _expected(samples: int, there: int, seconds: float) -> str:
    found = f", {there} are there already" if there else ""
    return f"evaluating: {samples} samples, about {seconds / 60:.1f} min{found}"


def model_identity(model: nn.Module, tokenizer: Any) -> dict[str, Any]:
    """Which model and tokenizer these are: a name, and hashes of what they hold."""
    config = getattr(unwrap(model), "config", None)
    name = str(getattr(config, "_name_or_path", "") or getattr(config, "model_type", "model"))
    return {
        "name": Path(name).name if Path(name).is_dir() else name,
        "fingerprint": fingerprint(model),
        "tokenizer": tokenizer_hash(tokenizer),
    }


def _prepare(judges: Sequence[Judge]) -> None:
    """Let judges load what they need.

    Raises:
        InputError: one cannot, or two give the same score.
    """
    given: dict[str, str] = {}
    for judge in judges:
        for score in judge.scores:
            if score in given:
                raise InputError(
                    f"the judges {given[score]!r} and {judge.name!r} both give the score "
                    f"{score!r}: evaluate with one after the other."
                )
            given[score] = judge.name
        judge.prepare()


def _require_usable(seeds: Sequence[int], batch_size: int) -> None:
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"seeds are {list(seeds)}: give at least one, each once.")
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; it must be at least 1.")
