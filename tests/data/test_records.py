"""Every shape that people keep contrastive examples in gives the same pairs."""

import pytest

from steersman.data import ContrastivePairs
from steersman.errors import InputError

WANTED = ContrastivePairs(["Yes, gladly.", "Of course."], ["No, never.", "Get lost."])


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


@pytest.mark.parametrize(
    "names",
    [
        ("desired", "undesired"),
        ("positive", "negative"),
        ("Positive", "NEGATIVE"),
        ("pos", "neg"),
        ("chosen", "rejected"),
        ("matching", "not_matching"),
        ("answer_matching_behavior", "answer_not_matching_behavior"),
        ("Best Answer", "Best Incorrect Answer"),
        ("correct", "incorrect"),
    ],
)
def test_two_sides_are_found_under_their_usual_names(names):
    rows = zip(WANTED.desired, WANTED.undesired, strict=True)
    records = [dict(zip(names, row, strict=True)) | {"id": i} for i, row in enumerate(rows)]
    assert ContrastivePairs.from_records(records) == WANTED
    columns = {name: [record[name] for record in records] for name in names}
    assert ContrastivePairs.from_records(columns) == WANTED


@pytest.mark.parametrize("kind", [list, tuple])
def test_tuples_and_lists_of_two_are_pairs(kind):
    rows = zip(WANTED.desired, WANTED.undesired, strict=True)
    assert ContrastivePairs.from_tuples(kind(row) for row in rows) == WANTED


@pytest.mark.parametrize(
    ("question", "answer", "joined"),
    [
        ("Shall I?", "Yes", "Shall I? Yes"),
        ("Choices:\n (A) go\n (B) stay\n", " (A)", "Choices:\n (A) go\n (B) stay\n (A)"),
        ("Answer:", " (A)", "Answer: (A)"),
        ("Shall I?", "Shall I? Yes", "Shall I? Yes"),
    ],
)
@pytest.mark.parametrize("key", ["question", "Prompt"])
def test_an_answer_is_put_behind_its_question(key, question, answer, joined):
    record = {key: question, "matching": answer, "not_matching": "No"}
    assert ContrastivePairs.from_records([record]).desired == (joined,)


def test_a_question_and_its_answers_can_be_made_conversations():
    record = {"question": "Shall I? ", "matching": " Yes", "not_matching": " No"}
    pairs = ContrastivePairs.from_records([record], chat=True)
    assert pairs.desired == ((user("Shall I?"), assistant("Yes")),)
    assert pairs.undesired == ((user("Shall I?"), assistant("No")),)


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ([user("Shall I?")], [assistant("Yes")]),
        ([user("Shall I?")], "Yes"),
        ("Shall I?", [assistant("Yes")]),
        ("Shall I?", [user("Shall I?"), assistant("Yes")]),
        ([user("Shall I?")], [user("Shall I?"), assistant("Yes")]),
        (None, [user("Shall I?"), assistant("Yes")]),
    ],
)
def test_preference_data_in_all_its_forms_is_the_same_conversation(prompt, answer):
    record = {"chosen": answer, "rejected": [user("Shall I?"), assistant("No")]}
    record |= {} if prompt is None else {"prompt": prompt}
    pairs = ContrastivePairs.from_records([record])
    assert pairs.desired == ((user("Shall I?"), assistant("Yes")),)


@pytest.mark.parametrize(
    "labels", [(1, 0), (True, False), ("1", "0"), ("true", "False"), (1, -1), (1.0, 0.0)]
)
@pytest.mark.parametrize("text", ["text", "statement", "Sentence", "prompt"])
def test_labelled_rows_are_unpaired_sides(labels, text):
    rows = [("a", labels[0]), ("b", labels[1]), ("c", labels[0])]
    records = [{text: example, "label": label} for example, label in rows]
    pairs = ContrastivePairs.from_records(records)
    assert (pairs.desired, pairs.undesired, pairs.paired) == (("a", "c"), ("b",), False)


def test_labelled_completions_stand_behind_their_prompts():
    records = [
        {"prompt": "Hello", "completion": "friend", "label": True},
        {"prompt": "Hello", "completion": "fool", "label": False},
    ]
    pairs = ContrastivePairs.from_records(records)
    assert (pairs.desired, pairs.undesired) == (("Hello friend",), ("Hello fool",))


def test_columns_of_different_lengths_are_unpaired_sides():
    pairs = ContrastivePairs.from_records({"desired": ["a", "b"], "undesired": ["c"], "name": "x"})
    assert (pairs.desired, pairs.undesired, pairs.paired) == (("a", "b"), ("c",), False)


def test_columns_of_other_names_are_found_when_they_are_told():
    records = [{"Comment": "a", "toxic": "False"}, {"Comment": "b", "toxic": "True"}]
    pairs = ContrastivePairs.from_records(records, columns={"Comment": "text", "toxic": "label"})
    assert (pairs.desired, pairs.undesired) == (("b",), ("a",))


GOOD = {"positive": "a", "negative": "b"}


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([], "there are no rows"),
        ([{"this": "a", "that": "b"}], r"row 0 has the keys 'this', 'that'\. Known are .*columns="),
        ([GOOD, {"positive": "a"}], "row 1 has no 'negative', which the first row has"),
        ([GOOD, {"positive": "", "negative": "b"}], "row 1, positive is empty"),
        ([GOOD, {"positive": "a", "negative": None}], "row 1, negative is missing"),
        ([GOOD, {"positive": "a", "negative": 1.5}], r"row 1, negative is 1.5 \(float\)"),
        ([GOOD, {"positive": "a", "negative": "a"}], "row 1: .* are the same"),
        ([{"text": "a", "label": "perhaps"}], "row 0 has the label 'perhaps'"),
        ([{"text": "a", "label": 1}], "there is no undesired example"),
        ([{"text": "a", "label": 1}, {"label": 0}], "row 1 has no 'text'"),
        ({"positive": "a", "negative": "b"}, "the object has the keys"),
        ({"question": ["q"], "positive": ["a"], "negative": ["b", "c"]}, "different lengths"),
        ({"positive": [], "negative": []}, "there are no rows"),
    ],
)
def test_records_that_cannot_be_used_are_refused_by_row(records, says):
    with pytest.raises(InputError, match=says):
        ContrastivePairs.from_records(records)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([("a", "b"), ("a",)], "row 1 is of type tuple with 1 entries; expected"),
        (["ab"], "row 0 is one text, not a pair. .*load_sides"),
        ([("a", "b"), ("a", "")], "row 1, undesired is empty"),
    ],
)
def test_tuples_that_cannot_be_used_are_refused_by_row(rows, says):
    with pytest.raises(InputError, match=says):
        ContrastivePairs.from_tuples(rows)


def test_a_column_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(InputError, match="no column 'comment'; its columns are 'Comment'"):
        ContrastivePairs.from_records([{"Comment": "a"}], columns={"comment": "text"})
