"""Knowledge: MMLU, four choices by the likelihood of their letters."""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steersman.data import ContrastivePairs
from steersman.data.files import read_table
from steersman.errors import InputError
from steersman.evaluation.items import Item, Question
from steersman.evaluation.sources import Given, located
from steersman.evaluation.splits import SCORING, drawn, part_of, without
from steersman.evaluation.task import Recipe, Split, Task

WHAT = (
    "MMLU: folders dev, test and perhaps val with SUBJECT_dev.csv and so on, each row a question, "
    "four choices and the right one as 0 to 3 or A to D; or cais/mmlu with a folder a subject"
)
ACCURACY = "accuracy"
LETTERS = "ABCD"
NONE, FEW = 0, 5


@dataclass(frozen=True)
class _Exam:
    subject: str
    question: str
    choices: tuple[str, ...]
    answer: int

    def text(self, answered: bool) -> str:
        lines = [self.question.strip()]
        lines += [f"{x}. {choice}" for x, choice in zip(LETTERS, self.choices, strict=True)]
        lines.append(f"Answer: {LETTERS[self.answer]}" if answered else "Answer:")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Knowledge(Task):
    """Questions of many subjects with four choices, after a few answered ones of the same subject.

    The answered ones are of the dev split, which no question is of. Without a val folder the
    questions of the test folder are shared out by their words.

    Args:
        exams: questions by part; "dev" are the answered ones.
        shots: how many of these come before every question.
    """

    exams: Mapping[str, tuple[_Exam, ...]] | None = None
    shots: int = NONE

    def items(self, split: Split, seed: int, count: int | None) -> tuple[Item, ...]:
        """Questions of all subjects."""
        pool = self._pool(split)
        some = drawn(pool, f"{split} questions of {self.name}", seed, count)
        return tuple(self._question(one) for one in some)

    def _pool(self, split: Split) -> list[_Exam]:
        """Questions of a split that are in no other; all that there are, as they are, for "all"."""
        exams = self.exams or {}
        if split in ("fit", "all"):
            return list(exams["dev" if split == "fit" else "test"])
        if not exams["val"]:
            test = [one for one in exams["test"] if part_of(_whole(one), SCORING) == split]
            return without(test, exams["dev"], _whole)
        if split == "validation":
            return without(exams["val"], exams["dev"], _whole)
        return without(exams["test"], [*exams["dev"], *exams["val"]], _whole)

    def pairs(self, seed: int, count: int) -> ContrastivePairs:
        """None: knowledge is what a steering should leave alone.

        Raises:
            InputError: always.
        """
        raise InputError("knowledge is a side effect to be measured: there is nothing to fit on.")

    def settings(self) -> dict[str, Any]:
        """With the number of answered questions."""
        return super().settings() | {"shots": self.shots}

    def _question(self, one: _Exam) -> Question:
        subject = one.subject.replace("_", " ")
        head = f"The following are multiple choice questions (with answers) about {subject}."
        answered = [e for e in (self.exams or {})["dev"] if e.subject == one.subject]
        if len(answered) < self.shots:
            raise InputError(
                f"{one.subject} has {len(answered)} questions in dev; {self.shots} are to come "
                "before every question. Ask for fewer with shots."
            )
        shots = [exam.text(answered=True) for exam in answered[: self.shots]]
        return Question(
            id=hashlib.sha256(one.text(answered=True).encode()).hexdigest()[:16],
            context="\n\n".join([head, *shots, one.text(answered=False)]),
            choices=tuple(f" {letter}" for letter in LETTERS),
            right=tuple(place == one.answer for place in range(len(LETTERS))),
            score=ACCURACY,
            group=one.subject,
        )


def knowledge(data: Given, *, shots: int = NONE, subjects: Sequence[str] = ()) -> Knowledge:
    """The task on a folder of MMLU.

    Args:
        data: the folder, or cais/mmlu.
        shots: how many answered questions come first, at most 5.
        subjects: which subjects; none is all.

    Raises:
        InputError: the data cannot be used; names the file and the field.
    """
    if not NONE <= shots <= FEW:
        raise InputError(f"shots is {shots}; expected {NONE} to {FEW}.")
    folder = located(data, WHAT)
    if not folder.is_dir():
        raise InputError(f"{folder} is a file; expected {WHAT}.")
    files = {part: _files(folder, part, subjects) for part in ("dev", "val", "test")}
    if not files["test"] or (shots and not files["dev"]):
        lacking = "test" if not files["test"] else "dev"
        raise InputError(f"{folder} has no questions of {lacking}; expected {WHAT}.")
    exams: dict[str, tuple[_Exam, ...]] = {}
    digest = hashlib.sha256()
    for part, found in files.items():
        read: list[_Exam] = []
        for subject, path in sorted(found.items()):
            digest.update(f"{part} {subject}".encode() + path.read_bytes())
            read += _exams(path, subject)
        exams[part] = tuple(read)
    return Knowledge(
        name="knowledge",
        asked="know what it knew",
        headline=ACCURACY,
        rises=True,
        recipe=Recipe("likelihood", "the convention of lm-evaluation-harness", 1),
        data={"subjects": sorted(files["test"]), "sha256": digest.hexdigest()},
        exams=exams,
        shots=shots,
    )


def _whole(one: _Exam) -> str:
    return " ".join((one.subject, one.question, *one.choices))


def _files(folder: Path, part: str, subjects: Sequence[str]) -> dict[str, Path]:
    """The file of each subject: dev/SUBJECT_dev.csv, or SUBJECT/dev-*.parquet."""
    names = {"val": ("val", "validation")}.get(part, (part,))
    found = {}
    for name in names:
        for path in sorted(folder.glob(f"{name}/*_{name}.csv")):
            found[path.name.removesuffix(f"_{name}.csv")] = path
        for path in sorted(folder.glob(f"*/{name}-*.parquet")):
            if path.parent.name not in ("all", "auxiliary_train"):
                found[path.parent.name] = path
    if subjects:
        if missing := [s for s in subjects if s not in found and part == "test"]:
            raise InputError(
                f"{folder} has no subject {', '.join(missing)}; it has {', '.join(sorted(found))}."
            )
        return {subject: found[subject] for subject in subjects if subject in found}
    return found


def _exams(path: Path, subject: str) -> list[_Exam]:
    if path.suffix == ".parquet":
        table = read_table(path)
        assert not isinstance(table, Mapping)
        return [_of_record(row.where, row.value, subject) for row in table]
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: save it again as UTF-8.") from error
    start = 1 if rows and rows[0][:1] == ["question"] else 0
    return [
        _exam(f"{path.name} row {index}", row, subject)
        for index, row in enumerate(rows[start:], start + 1)
        if row
    ]


def _of_record(where: str, record: object, subject: str) -> _Exam:
    if not isinstance(record, Mapping) or not {"question", "choices", "answer"} <= set(record):
        raise InputError(f"{where} has no 'question', 'choices' and 'answer'; expected {WHAT}.")
    cells = [record["question"], *record["choices"], str(record["answer"])]
    return _exam(where, cells, subject)


def _exam(where: str, cells: Sequence[str], subject: str) -> _Exam:
    if len(cells) != 2 + len(LETTERS):
        raise InputError(f"{where} has {len(cells)} cells; expected {WHAT}.")
    question, *choices, answer = cells
    known = {str(i): i for i in range(len(LETTERS))} | {x: i for i, x in enumerate(LETTERS)}
    if answer.strip() not in known:
        raise InputError(f"{where} has the answer {answer!r}; expected 0 to 3 or A to D.")
    return _Exam(subject, question, tuple(choices), known[answer.strip()])
