"""Rows: where each stands, which columns are read, and what is wrong with one."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from minidistil.messages import MinidistilError
from minidistil.training.rows import (
    Column,
    Table,
    TrainingDataError,
    list_of,
    rows_of,
    text_of,
)

COLUMNS = (
    Column("text", ("text", "sentence")),
    Column("second", needed=False, partner="text", beside={"text": "text_pair"}),
    Column("label", ("label",)),
)


def test_an_error_is_one_of_the_librarys_and_a_value_error():
    assert issubclass(TrainingDataError, MinidistilError)
    assert issubclass(TrainingDataError, ValueError)


@pytest.mark.parametrize(
    ("name", "content", "number"),
    [
        ("a.tsv", "text\tlabel\none\tx\ntwo\ty\n", 2),
        ("a.csv", 'text,label\n"o\nne",x\ntwo,y\n', 2),
        ("a.jsonl", '{"text": "one"}\n\n{"text": "two", "label": "y"}\n', 3),
    ],
)
def test_rows_of_files_are_named_by_file_and_number(tmp_path, name, content, number):
    (tmp_path / name).write_text(content)
    *_, (where, row) = rows_of(tmp_path / name)
    assert where == f"{tmp_path / name}, row {number}"
    assert row == {"text": "two", "label": "y"}


def test_lines_of_text_are_rows(tmp_path):
    (tmp_path / "a.txt").write_text("one\n\ntwo")
    assert [row for _, row in rows_of(tmp_path / "a.txt")] == [
        {"text": "one"},
        {"text": ""},
        {"text": "two"},
    ]


@pytest.mark.parametrize("make", [list, Dataset.from_list, iter])
def test_any_sequence_of_mappings_will_do(make):
    rows = [{"text": "one"}, {"text": "two"}]
    assert [*rows_of(make(rows))] == [("row 1", rows[0]), ("row 2", rows[1])]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"text": ["one"]}, "got a dict"),
        (3, "got an int"),
        (["one"], "row 1: got 'one'"),
        (pd.DataFrame({"text": ["one"]}), r"to_dict\(\"records\"\)"),
    ],
)
def test_what_is_no_sequence_of_mappings_is_refused(data, said):
    with pytest.raises(TrainingDataError, match=said):
        [*rows_of(data)]


def test_the_first_name_that_is_there_is_taken():
    table = Table([{"sentence": "one", "label": 1, "id": 7}], COLUMNS, {})
    assert table.used == {"text": ["sentence"], "label": ["label"]}
    assert [*table] == [("row 1", {"text": "one", "label": 1})]


def test_a_second_text_is_taken_beside_its_own_first_one_alone():
    row = {"text": "a", "text_pair": "b", "label": 1}
    assert Table([row], COLUMNS, {}).used["second"] == ["text_pair"]
    # Who names the first one names the second one, too.
    assert "second" not in Table([row], COLUMNS, {"text": "text"}).used


@pytest.mark.parametrize("odd", [["text"], 3])
def test_a_column_is_named_by_a_text(odd):
    with pytest.raises(TypeError, match=r"the column of the text is .*its name"):
        Table([{"text": "one", "label": "x"}], COLUMNS, {"text": odd})


def test_several_columns_are_a_list():
    table = Table([{"text": "a", "x": 0, "y": 1}], COLUMNS, {"label": "y,x"})
    assert [*table] == [("row 1", {"text": "a", "label": [1, 0]})]


def test_a_column_whose_name_has_a_comma_is_one():
    table = Table([{"text": "a", "x,y": 0}], COLUMNS, {"label": "x,y"})
    assert [*table] == [("row 1", {"text": "a", "label": 0})]


@pytest.mark.parametrize("chosen", [{}, {"label": "stars"}, {"label": "a,stars"}])
def test_a_missing_column_lists_those_there_are(chosen):
    with pytest.raises(TrainingDataError, match="row 1: got the columns 'text', 'a'"):
        Table([{"text": "one", "a": 1}], COLUMNS, chosen)


def test_a_column_that_a_later_row_lacks_names_that_row(tmp_path):
    lines = [{"text": "one", "label": 1}, {"text": "two"}]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(TrainingDataError, match=r"a.jsonl, row 2: .* expected 'label'"):
        [*Table(path, COLUMNS, {})]


def test_a_role_that_there_is_not_is_a_type_error():
    with pytest.raises(TypeError, match="no argument 'labels'; did you mean 'label'"):
        Table([{"text": "one"}], COLUMNS, {"labels": "x"})


def test_no_rows_at_all_is_an_error(tmp_path):
    (tmp_path / "a.tsv").write_text("text\tlabel\n")
    for data in ([], tmp_path / "a.tsv"):
        with pytest.raises(TrainingDataError, match="got no rows"):
            Table(data, COLUMNS, {})


def test_a_data_set_says_what_its_numbers_stand_for():
    names = ["bad", "good"]
    kinds = Features(
        {
            "text": Value("string"),
            "label": ClassLabel(names=names),
            "tags": List(ClassLabel(names=names)),
        }
    )
    rows = Dataset.from_list([{"text": "a", "label": 1, "tags": [0]}], features=kinds)
    columns = (*COLUMNS, Column("tags", ("tags",)))
    table = Table(rows, columns, {})
    assert table.declared("label") == table.declared("tags") == names
    assert table.declared("text") is None


@pytest.mark.parametrize("value", ["", None, float("nan")])
def test_an_empty_cell_is_no_text(value):
    assert text_of("row 1", "text", value) == ""


@pytest.mark.parametrize("value", [3, ["a"], b"a", "\ud800"])
def test_what_is_no_text_names_the_row(value):
    with pytest.raises(TrainingDataError, match="row 1: "):
        text_of("row 1", "text", value)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a b", None),
        (3, None),
        (None, None),
        (["a"], ["a"]),
        (("a",), ["a"]),
        (' ["a", 1]', ["a", 1]),
        (pd.Series(["a"]), ["a"]),
    ],
)
def test_lists_are_lists_or_lists_of_json(value, found):
    assert list_of("row 1", "tags", value) == found


def test_a_broken_list_of_json_names_the_row():
    with pytest.raises(
        TrainingDataError, match=r"row 1: got the tags .* a list of JSON"
    ):
        list_of("row 1", "tags", "[1, 2")
