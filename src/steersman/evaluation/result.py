"""What an evaluation found."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

from steersman.errors import ArtifactError
from steersman.evaluation.folder import SAMPLES, SUMMARY, Row
from steersman.evaluation.making import GENERATION, LIKELIHOOD, PANEL
from steersman.evaluation.scores import Score, Value, mean_of, over_seeds
from steersman.evaluation.task import Task
from steersman.evaluation.texts import pooled_distinct
from steersman.jsonable import plain

KIND = "steersman evaluation"
FORMAT = 1
DISTINCT = (1, 2, 3)


@dataclass(frozen=True)
class Failure:
    """A way in which samples failed, and how many did.

    Args:
        judge: which judge failed, or "generation", or "likelihood".
        reason: what it said.
        count: how many samples.
    """

    judge: str
    reason: str
    count: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of one model under one condition, on one task.

    Args:
        settings: everything that decides the samples.
        scores: what the task is about, by name; the headline first.
        panel: side effects: the divergence from the bare model in nats per token, the loss and the
            perplexity under it, how varied and repetitive the texts are, and what judges add.
        groups: the headline of each group of prompts, where there are several.
        samples: how many there are.
        empty: how many continuations are empty.
        failures: everything that failed, the most frequent first.
        rows: every sample as it was written down.
    """

    settings: Mapping[str, Any]
    scores: Mapping[str, Score]
    panel: Mapping[str, Score]
    groups: Mapping[str, Score]
    samples: int
    empty: int
    failures: tuple[Failure, ...]
    rows: tuple[Row, ...]

    @property
    def task(self) -> str:
        """The task's name."""
        return str(self.settings["task"]["name"])

    @property
    def headline(self) -> Score:
        """The score that counts."""
        name = self.settings["task"]["headline"]
        return self.scores[name] if name in self.scores else self.panel[name]

    @property
    def divergence(self) -> Score:
        """KL from the bare model, nats per token."""
        return self.panel["divergence"]

    def summary(self) -> str:
        """The findings in a few lines for a person."""
        from steersman.evaluation.words import summary

        return summary(self)

    def to_html(self, path: str | Path, unsteered: "Evaluation | None" = None) -> Path:
        """Write one self-contained page: scores, side effects, failures, samples.

        Args:
            path: where to; folders that do not exist are made.
            unsteered: the same task under the bare model, to stand beside it.

        Raises:
            InputError: it cannot be written there, or the two are of different tasks.
        """
        from steersman.evaluation.page import write

        return write(self, path, unsteered)

    def to_dict(self) -> dict[str, Any]:
        """All but the samples, as plain data; what is not known is null."""
        found: dict[str, Any] = plain(
            {
                "kind": KIND,
                "format": FORMAT,
                "settings": self.settings,
                "samples": self.samples,
                "empty": self.empty,
                "scores": {name: vars(score) for name, score in self.scores.items()},
                "panel": {name: vars(score) for name, score in self.panel.items()},
                "groups": {name: vars(score) for name, score in self.groups.items()},
                "failures": [vars(failure) for failure in self.failures],
            }
        )
        return found

    @classmethod
    def load(cls, folder: str | Path) -> "Evaluation":
        """Read a finished evaluation from its folder.

        Raises:
            ArtifactError: the folder holds none, or it was interrupted.
        """
        path = Path(folder)
        try:
            found = json.loads((path / SUMMARY).read_text(encoding="utf-8"))
            lines = (path / SAMPLES).read_text(encoding="utf-8").split("\n")
            rows = tuple(json.loads(line) for line in lines if line)
            if found["kind"] != KIND or found["format"] != FORMAT:
                raise ArtifactError(f"{path} holds another format: update steersman.")
            return cls(
                settings=found["settings"],
                scores=_scores(found["scores"]),
                panel=_scores(found["panel"]),
                groups=_scores(found["groups"]),
                samples=found["samples"],
                empty=found["empty"],
                failures=tuple(Failure(**one) for one in found["failures"]),
                rows=rows,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path} holds no finished evaluation: {error}.") from error


def summed_up(task: Task, settings: Mapping[str, Any], rows: Sequence[Row]) -> Evaluation:
    """The scores of all samples.

    Args:
        task: what was asked.
        settings: everything that decided the samples.
        rows: the samples as they are read from a file.
    """
    seeds = list(settings["seeds"])
    cells = _cells(rows, seeds)
    found = _of_judges(task, rows, cells, len(seeds))
    ours = {name: score for name, score in found.items() if name not in task.side}
    order = sorted(ours, key=lambda name: name != task.headline)
    side = {name: found[name] for name in task.side if name in found}
    failed = Counter((judge, why) for row in rows for judge, why in row["failures"].items())
    return Evaluation(
        settings=settings,
        scores={name: ours[name] for name in order},
        panel=_panel(rows, seeds) | side,
        groups=_groups(task, cells, len(seeds)),
        samples=len(rows),
        empty=sum(row.get("text") is not None and not row["text"].strip() for row in rows),
        failures=tuple(Failure(*key, n) for key, n in failed.most_common()),
        rows=tuple(rows),
    )


Cell = tuple[int, str, str, list[Row]]
"""Which seed, counted from 0; which prompt; of which group; and its samples."""


def _cells(rows: Sequence[Row], seeds: Sequence[int]) -> list[Cell]:
    """The samples of each prompt of each seed."""
    found: dict[tuple[int, int], Cell] = {}
    for row in rows:
        new: Cell = (seeds.index(row["seed"]), row["id"], row["group"], [])
        found.setdefault((row["seed"], row["index"]), new)[3].append(row)
    return list(found.values())


def _values(task: Task, cells: Sequence[Cell]) -> list[tuple[str, str, Value]]:
    """By name and group every value that there is."""
    found = []
    for seed, prompt, group, rows in cells:
        scored = [row["scores"] for row in rows if row["scores"]]
        for name, value in task.per_prompt(scored).items() if scored else ():
            found.append((name, group, Value(value, seed, prompt)))
    return found


def _of_judges(
    task: Task, rows: Sequence[Row], cells: Sequence[Cell], seeds: int
) -> dict[str, Score]:
    values = _values(task, cells)
    names = dict.fromkeys(name for name, _, _ in values)
    names |= dict.fromkeys(name for judge in task.judges for name in judge.scores)
    names |= dict.fromkeys([task.headline] if task.headline not in PANEL else [])
    return {
        name: mean_of(
            [value for other, _, value in values if other == name],
            seeds,
            missing=_missing(task, rows, name),
        )
        for name in names
    }


def _missing(task: Task, rows: Sequence[Row], name: str) -> int:
    """How many samples failed where the score should have come from."""
    sources = {judge.name for judge in task.judges if name in judge.scores}
    sources = sources or {GENERATION, LIKELIHOOD, *(judge.name for judge in task.judges)}
    return sum(not sources.isdisjoint(row["failures"]) for row in rows)


def _panel(rows: Sequence[Row], seeds: Sequence[int]) -> dict[str, Score]:
    found = {}
    for name in PANEL:
        having = [row for row in rows if name in row]
        if not having:
            continue
        known = [row for row in having if row[name] is not None]
        values = [Value(float(row[name]), seeds.index(row["seed"]), row["id"]) for row in known]
        # A text of fewer words than it takes cannot repeat itself: nothing is missing there.
        missing = 0 if name == "repetition" else len(having) - len(known)
        found[name] = mean_of(values, len(seeds), missing)
    texts = [[row["text"] for row in rows if row["seed"] == s and row.get("text")] for s in seeds]
    if any(texts):
        for n in DISTINCT:
            found[f"distinct-{n}"] = over_seeds([pooled_distinct(some, n) for some in texts])
    return found


def _groups(task: Task, cells: Sequence[Cell], seeds: int) -> dict[str, Score]:
    values = [(group, v) for name, group, v in _values(task, cells) if name == task.headline]
    names = sorted({group for group, _ in values})
    if len(names) < 2:
        return {}
    return {name: mean_of([v for g, v in values if g == name], seeds) for name in names}


def _scores(found: Mapping[str, Any]) -> dict[str, Score]:
    return {
        name: Score(**{key: _known(entry) for key, entry in score.items()})
        for name, score in found.items()
    }


def _known(entry: Any) -> Any:
    if isinstance(entry, list):
        return tuple(_known(one) for one in entry)
    return nan if entry is None else entry
