"""What the columns of contrastive examples are called, in the data sets people have."""

from collections.abc import Iterable, Mapping

from steersman.data.files import Row
from steersman.errors import InputError

PAIR_KEYS = (
    ("desired", "undesired"),
    ("positive", "negative"),
    ("pos", "neg"),
    ("chosen", "rejected"),
    ("matching", "not_matching"),
    ("answer_matching_behavior", "answer_not_matching_behavior"),
    ("best_answer", "best_incorrect_answer"),
    ("correct", "incorrect"),
)
"""What the two sides are called. Names are compared in lower case, with `_` for spaces."""

QUESTION_KEYS = ("question", "prompt", "instruction")
"""What comes before both sides, where they are answers."""

TEXT_KEYS = ("text", "statement", "sentence", "messages", "content", *QUESTION_KEYS)
"""What the example is called in a labelled or one-sided row."""


CONTINUATION_KEYS = ("continuation", "continuations", "conversation")
"""What follows both contexts is called in a row of aligned pairs."""


def renamed(row: Row, columns: Mapping[str, str] | None) -> dict[str, object]:
    """The record of a row under the names that are used here.

    Args:
        row: a row that holds a record.
        columns: what your columns are called -> what they are called here.

    Raises:
        InputError: the row is no record, or has no column of that name.
    """
    if not isinstance(row.value, Mapping):
        raise InputError(
            f"{row.where} is not a record but of type {type(row.value).__name__}: drop it."
        )
    record = {_normal(str(key)): value for key, value in row.value.items()}
    for theirs, ours in (columns or {}).items():
        if theirs not in row.value:
            raise InputError(
                f"{row.where} has no column {theirs!r}; its columns are {listed(row.value)}."
            )
        record[_normal(ours)] = row.value[theirs]
    return record


def sides_in(record: Mapping[str, object]) -> tuple[str, str] | None:
    """What the two sides are called in this record, where it has two."""
    return next((pair for pair in PAIR_KEYS if pair[0] in record and pair[1] in record), None)


def first_in(record: Mapping[str, object], keys: Iterable[str]) -> str | None:
    """The first of the keys that the record has."""
    return next((key for key in keys if key in record), None)


def entry(row: Row, record: Mapping[str, object], name: str) -> object:
    """What the record has under `name`.

    Raises:
        InputError: it has nothing.
    """
    if name not in record:
        raise InputError(
            f"{row.where} has no {name!r}, which the first row has; its keys are {listed(record)}."
        )
    return record[name]


def listed(record: Mapping[str, object]) -> str:
    """The keys of a record, for an error."""
    return ", ".join(repr(key) for key in record) or "none"


def known_sides() -> str:
    """All names of the two sides, for an error."""
    return ", ".join("/".join(pair) for pair in PAIR_KEYS)


def unknown_shape(where: str, record: Mapping[str, object]) -> InputError:
    """The error for a record in which no two sides are found."""
    return InputError(
        f"{where} has the keys {listed(record)}. Known are the pairs {known_sides()} (with "
        f"{', '.join(QUESTION_KEYS)} before them where they are answers), and a text with a "
        "'label'. Say which of yours are which, e.g. "
        "columns={'comment': 'text', 'toxic': 'label'}."
    )


def _normal(key: str) -> str:
    return key.strip().lower().replace(" ", "_").replace("-", "_")
