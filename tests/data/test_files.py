"""Files of examples: every format, and errors that name the line."""

import csv
import json
import sys

import pyarrow
import pytest
from pyarrow import parquet

from steersman.data import ContrastivePairs
from steersman.errors import InputError, MissingExtraError

RECORDS = [
    {"positive": 'He said, "yes".\nTwice.', "negative": "He said; no."},
    {"positive": "Ça va\u2028bien", "negative": "Ça va mal"},
]
WANTED = ContrastivePairs.from_records(RECORDS)


def written(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def as_csv(path, delimiter=",", encoding="utf-8"):
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(RECORDS[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(RECORDS)
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_csv_is_read_whatever_separates_its_cells(tmp_path, delimiter, encoding):
    path = as_csv(tmp_path / "pairs.csv", delimiter, encoding)
    assert ContrastivePairs.load(path) == WANTED
    assert ContrastivePairs.load(str(path)) == WANTED


def test_json_is_read_as_rows_as_columns_as_lists_of_two_and_beside_other_entries(tmp_path):
    columns = {name: [record[name] for record in RECORDS] for name in RECORDS[0]}
    tuples = [list(record.values()) for record in RECORDS]
    for content in (RECORDS, columns, tuples, {"version": 2, "rows": RECORDS}):
        path = written(tmp_path / "pairs.json", json.dumps(content, indent=1))
        assert ContrastivePairs.load(path) == WANTED


def test_json_lines_may_hold_what_looks_like_the_end_of_a_line(tmp_path):
    lines = [json.dumps(record, ensure_ascii=False) for record in RECORDS]
    assert ContrastivePairs.load(written(tmp_path / "p.jsonl", "\n".join(lines) + "\n\n")) == WANTED


def test_parquet_is_read_with_nested_conversations(tmp_path):
    parquet.write_table(pyarrow.Table.from_pylist(RECORDS), tmp_path / "pairs.parquet")
    assert ContrastivePairs.load(tmp_path / "pairs.parquet") == WANTED
    chats = [{name: [{"role": "user", "content": text}] for name, text in RECORDS[0].items()}]
    parquet.write_table(pyarrow.Table.from_pylist(chats), tmp_path / "chats.parquet")
    expected = ContrastivePairs.from_records(chats)
    assert ContrastivePairs.load(tmp_path / "chats.parquet") == expected


def test_a_conversation_in_a_csv_is_json_in_a_cell(tmp_path):
    chats = [[{"role": "user", "content": text}] for text in ("hello", "go away")]
    path = tmp_path / "chats.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["chosen", "rejected"], [json.dumps(chat) for chat in chats]])
    assert ContrastivePairs.load(path) == ContrastivePairs([chats[0]], [chats[1]])


def test_each_side_may_have_a_file_of_its_own_in_any_format(tmp_path):
    desired = written(tmp_path / "good.txt", "a\nb\n\nc\n")
    for name, content in (
        ("bad.json", json.dumps(["x", "y"])),
        ("bad.jsonl", '{"instruction": "x"}\n{"instruction": "y", "category": null}'),
        ("bad.csv", "id,statement\n1,x\n2,y\n"),
    ):
        pairs = ContrastivePairs.load_sides(desired, written(tmp_path / name, content))
        assert (pairs.desired, pairs.undesired) == (("a", "b", "c"), ("x", "y"))
        assert not pairs.paired


def test_the_column_of_a_side_can_be_named(tmp_path):
    sides = [written(tmp_path / f"{c}.csv", f"Remark,text\n{c},same\n") for c in "ab"]
    assert ContrastivePairs.load_sides(*sides, column="Remark").desired == ("a",)
    with pytest.raises(InputError, match="no column 'Note'"):
        ContrastivePairs.load_sides(*sides, column="Note")
    odd = written(tmp_path / "odd.csv", "Remark,Other\na,b\n")
    with pytest.raises(InputError, match="odd.csv line 2 has the columns .* column="):
        ContrastivePairs.load_sides(odd, odd)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("p.csv", "", "p.csv has no rows"),
        ("p.csv", "positive,negative\n", "p.csv has no rows"),
        ("p.csv", 'positive,negative\n"a\nb",c\na\n', "p.csv line 4 has not as many cells"),
        ("p.csv", "positive,negative\na,b,c\n", "line 2 .* put quotes around"),
        ("p.csv", 'positive,negative\na,"b\n', "p.csv line 2 is no CSV"),
        ("p.csv", 'positive,negative\n"a\nb",c\n\nd,\n', "p.csv line 5, negative is empty"),
        ("p.json", "", "p.json has no rows"),
        ("p.json", "[]", "p.json has no rows"),
        ("p.json", '[{"positive": "a",\n', "p.json line 2 is no JSON"),
        ("p.json", "3", "p.json holds one int"),
        ("p.json", '[["a", "b"], ["c"]]', "p.json row 1 is of type list with 1 entries"),
        ("p.json", '["a", "b"]', "p.json row 0 is one text, not a pair"),
        ("p.jsonl", '{"pos": "a", "neg": "b"}\n\n{"pos"', "p.jsonl line 3 is no JSON"),
        (
            "p.jsonl",
            '{"pos": "a", "neg": "b"}\n7',
            "p.jsonl line 2 is not a record but of type int",
        ),
        ("p.yaml", "a: b", r"ending '.yaml'; examples are read from .csv, .tsv, .json"),
        ("p.parquet", "this is text", "p.parquet is no parquet file"),
    ],
)
def test_files_that_cannot_be_used_are_refused_by_line(tmp_path, name, content, says):
    path = written(tmp_path / name, content)
    with pytest.raises(InputError, match=says):
        ContrastivePairs.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="there is no file '.*nowhere.csv'"):
        ContrastivePairs.load(tmp_path / "nowhere.csv")


def test_a_file_in_another_encoding_is_refused(tmp_path):
    path = written(tmp_path / "p.csv", "positive,negative\nÇa va,bien\n", "latin-1")
    with pytest.raises(InputError, match="p.csv is not UTF-8"):
        ContrastivePairs.load(path)


def test_parquet_without_its_extra_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'steersman\[data\]'"):
        ContrastivePairs.load(written(tmp_path / "p.parquet", "x"))
