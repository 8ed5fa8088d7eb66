"""Aligned pairs from what people have: texts, conversations, records, files."""

import json
from pathlib import Path
from typing import Any

import pytest

from steersman.data import AlignedPairs, ContrastivePairs, load_examples
from steersman.errors import InputError

TALK = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
ASK = [{"role": "user", "content": "Hi."}]


def product() -> AlignedPairs:
    return AlignedPairs.of(
        desired=["Be kind.", "Be warm."],
        undesired=["Be rude.", "Be cold."],
        continuations=["The sun is up.", "A cat sat.", "It rains."],
        combine="product",
    )


def test_a_product_is_every_pair_of_contexts_with_every_continuation() -> None:
    pairs = product()
    assert len(pairs) == 6
    assert pairs.desired == ("Be kind.",) * 3 + ("Be warm.",) * 3
    assert pairs.undesired == ("Be rude.",) * 3 + ("Be cold.",) * 3
    assert pairs.context_labels == (0, 0, 0, 1, 1, 1)
    assert pairs.continuation_labels == (0, 1, 2, 0, 1, 2)
    assert str(pairs) == "6 aligned pairs: 3 continuations, 2 pairs of contexts"


def test_a_zip_is_row_by_row_and_one_context_stands_for_all() -> None:
    pairs = AlignedPairs.of(
        desired=["Be kind."],
        undesired=["Be rude.", "Be cold."],
        continuations=["The sun is up.", "A cat sat."],
        combine="zip",
    )
    assert pairs == AlignedPairs(
        ["Be kind."] * 2, ["Be rude.", "Be cold."], ["The sun is up.", "A cat sat."]
    )


def test_texts_are_written_out_with_one_space_or_the_white_space_that_is_there() -> None:
    pairs = AlignedPairs(["Be kind.", "Be kind.\n"], ["Be rude.", "Be rude.\n"], ["Yes.", "No."])
    written = pairs.contrastive
    assert isinstance(written, ContrastivePairs) and written.paired
    assert written.desired == ("Be kind. Yes.", "Be kind.\nNo.")
    assert pairs.openings == (("Be kind. ", "Be kind.\n"), ("Be rude. ", "Be rude.\n"))
    assert pairs.positions == "response"


def test_a_text_context_of_a_conversation_is_the_system_prompt() -> None:
    pairs = AlignedPairs.of(
        desired=["Be kind."], undesired=["Be rude."], continuations=[TALK], combine="product"
    )
    (desired,) = pairs.contrastive.desired
    assert [m["role"] for m in desired] == ["system", "user", "assistant"]
    assert pairs.openings is None and pairs.positions == "response"


def test_a_text_behind_a_conversation_is_what_the_assistant_says() -> None:
    kind, rude = (
        [*ASK, {"role": "assistant", "content": text}, *ASK] for text in ("Dear!", "What?")
    )
    pairs = AlignedPairs([kind], [rude], ["Good morning."])
    (desired,) = pairs.contrastive.desired
    assert desired[-1] == {"role": "assistant", "content": "Good morning."}


def test_conversations_without_an_answer_are_read_where_it_starts() -> None:
    assert AlignedPairs(["Be kind."], ["Be rude."], [ASK]).positions == "last"


ROWS = [
    {"desired": "Be kind.", "undesired": "Be rude.", "continuation": "Yes."},
    {"desired": "Be warm.", "undesired": "Be cold.", "continuation": "No."},
]
EXPECTED = AlignedPairs(["Be kind.", "Be warm."], ["Be rude.", "Be cold."], ["Yes.", "No."])


@pytest.mark.parametrize(
    "records",
    [
        ROWS,
        {name: [row[name] for row in ROWS] for name in ROWS[0]},
        [
            {
                "Positive": r["desired"],
                "negative": r["undesired"],
                "Continuation": r["continuation"],
            }
            for r in ROWS
        ],
    ],
)
def test_records_and_columns_are_read(records: Any) -> None:
    assert AlignedPairs.from_records(records) == EXPECTED


def test_columns_of_other_names_are_said() -> None:
    rows = [{"good": "A.", "bad": "B.", "then": "C."}]
    columns = {"good": "desired", "bad": "undesired", "then": "continuation"}
    assert AlignedPairs.from_records(rows, columns=columns) == AlignedPairs(["A."], ["B."], ["C."])


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv"])
def test_a_file_with_continuations_is_one_of_aligned_pairs(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"pairs.{ending}"
    text = {
        "jsonl": "\n".join(map(json.dumps, ROWS)),
        "json": json.dumps(ROWS),
        "csv": "desired,undesired,continuation\n"
        + "\n".join(",".join(row.values()) for row in ROWS),
    }
    path.write_text(text[ending])
    assert AlignedPairs.load(path) == EXPECTED == load_examples(path)
    assert AlignedPairs.load(path).fingerprint() == EXPECTED.fingerprint()


def test_a_csv_may_hold_conversations(tmp_path: Path) -> None:
    talk = json.dumps(TALK).replace('"', '""')
    path = tmp_path / "talks.csv"
    path.write_text(f'desired,undesired,conversation\nBe kind.,Be rude.,"{talk}"\n')
    assert load_examples(path) == AlignedPairs(["Be kind."], ["Be rude."], [TALK])


def test_a_file_without_continuations_is_one_of_contrastive_pairs(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("desired,undesired\nA.,B.\n")
    assert load_examples(path) == ContrastivePairs(["A."], ["B."])


def test_parts_of_a_split_have_no_continuation_in_common() -> None:
    first, rest = product().split(0.6, seed=1)
    assert len(first) == 4 and len(rest) == 2
    assert not set(first.continuations) & set(rest.continuations)
    assert product().split(0.6, seed=1)[0] == first


def test_swapped_twice_they_are_the_same() -> None:
    assert product().swapped().undesired == product().desired
    assert product().swapped().swapped() == product()
    assert product().swapped().fingerprint() != product().fingerprint()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((["A."], ["B."], []), "there is no continuation"),
        (([], ["B."], ["C."]), "there is no desired context"),
        (("A.", ["B."], ["C."]), "desired contexts are one text"),
        ((["A."], ["B.", "D."], ["C."]), "1 desired and 2 undesired contexts and 1 continuations"),
        ((["A.", "D."], ["B.", "D."], ["C.", "C."]), "contexts of row 1: .* are the same"),
        ((["A."], ["B."], [" "]), "continuation 0 is empty"),
        ((["A."], ["B."], [3]), "continuation 0 is 3"),
        ((["A.", "A."], ["B.", "B."], ["C.", TALK]), "a text and .* is a conversation"),
        ((["A.", "A."], ["B.", "B."], [TALK, ASK]), "rows 0 and 1 one ends with the assistant"),
    ],
)
def test_rows_that_cannot_be_are_refused(given: Any, says: str, unchecked: None) -> None:
    with pytest.raises(InputError, match=says):
        AlignedPairs(*given)


def test_combinations_that_cannot_be_are_refused(unchecked: None) -> None:
    given: dict[str, Any] = {
        "desired": ["A.", "B."],
        "undesired": ["C.", "D.", "E."],
        "continuations": ["F."],
    }
    with pytest.raises(InputError, match="2 desired and 3 undesired contexts cannot be paired"):
        AlignedPairs.of(**given, combine="product")
    with pytest.raises(InputError, match="are no rows"):
        AlignedPairs.of(**given, combine="zip")
    with pytest.raises(InputError, match="combine is 'all'; choose zip or product"):
        AlignedPairs.of(**given, combine="all")
    with pytest.raises(InputError, match="3 different continuations cannot be split at 0.1"):
        product().split(0.1)


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([], "there are no rows"),
        ([{"desired": "A.", "undesired": "B."}], "row 0 has the keys .* and a 'continuation'"),
        ([ROWS[0], {**ROWS[1], "desired": None}], "row 1, desired is missing"),
        ([ROWS[0], {"desired": "A.", "undesired": "B."}], "row 1 has no 'continuation'"),
        ([ROWS[0], {**ROWS[0], "undesired": "Be kind."}], "row 1: .* are the same"),
        ({**{k: [v] for k, v in ROWS[0].items()}, "desired": "A."}, "'desired' .* is no list"),
    ],
)
def test_records_that_cannot_be_read_are_named(records: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        AlignedPairs.from_records(records)
