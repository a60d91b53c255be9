"""Which columns are read and made, and which options are refused."""

from __future__ import annotations

import pytest
from answering import pipe_of

from minidistil.tables.answering import Answering, Reading
from minidistil.tables.rows import LineRows, TableError


def test_a_column_that_is_not_there_is_an_error_that_lists_those_there_are(folder_of):
    pipe = pipe_of(folder_of, "question-answering")
    answering = Answering(pipe, Reading("question"), {})
    with pytest.raises(
        ValueError, match="no column 'context'; did you mean 'Contex"
    ) as e:
        answering.check_names(["id", "question", "Context"])
    assert "'id', 'question', 'Context'" in str(e.value)
    assert "context_column= (--context-column)" in str(e.value)
    answering.check_names(["context", "question"])


def test_a_column_that_is_there_twice_is_an_error(folder_of):
    answering = Answering(pipe_of(folder_of, "fill-mask"), Reading(), {})
    with pytest.raises(ValueError, match="several columns 'text'"):
        answering.check_names(["text", "text"])


def test_a_name_that_is_taken_is_an_error_that_says_how_to_rename(folder_of):
    pipe = pipe_of(folder_of, "text-classification")
    names = ["text", "score", "label"]
    with pytest.raises(ValueError, match=r"columns 'label', 'score' already.*--prefix"):
        Answering(pipe, Reading(), {}).check_names(names)
    Answering(pipe, Reading(prefix="new_"), {}).check_names(names)


def test_a_name_that_only_some_rows_of_json_have_is_taken_too(folder_of):
    answering = Answering(
        pipe_of(folder_of, "text-classification"), Reading(on_error="null"), {}
    )
    rows = LineRows("a.jsonl", [1, 4], [{"text": "a"}, {"text": "a", "score": 1}])
    with pytest.raises(TableError, match=r"a\.jsonl, row 4: .*'score' already"):
        answering.answer([rows])


# Options


@pytest.mark.parametrize(
    ("task", "reading"),
    [
        ("text-classification", {"context_column": "a"}),
        ("text-classification", {"choices_column": "a"}),
        ("token-classification", {"second_column": "a"}),
        ("question-answering", {"second_column": "a"}),
        ("question-answering", {"question_column": "a"}),
        ("sentence-embeddings", {"question_column": "a"}),
    ],
)
def test_a_column_that_the_task_does_not_read_is_an_error(folder_of, task, reading):
    (name,) = reading
    with pytest.raises(ValueError, match=f"{name} is 'a', and {task} reads no such"):
        Answering(pipe_of(folder_of, task), Reading(**reading), {})


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"on_error": "skip"}, "on_error is 'skip', expected 'stop' or 'null'"),
        ({"strict": "yes"}, "strict is 'yes', expected True or False"),
        ({"prefix": None}, "prefix is None, expected a string"),
        ({"column": None}, "column is None, expected a string"),
        ({"second_column": 3}, "second_column is 3, expected a string or None"),
    ],
)
def test_a_wrong_option_of_the_reading_is_an_error(options, error):
    with pytest.raises((TypeError, ValueError), match=error):
        Reading(**options)


@pytest.mark.parametrize(
    ("task", "options", "error"),
    [
        ("text-classification", {"topk": 3}, "no argument 'topk'"),
        ("text-classification", {"top_k": 0}, "top_k is 0"),
        ("zero-shot-classification", {"candidate_labels": []}, "candidate_labels"),
        ("feature-extraction", {"truncation": "window"}, "truncation is 'window'"),
    ],
)
def test_a_wrong_option_of_the_call_is_told_before_the_first_row(
    folder_of, task, options, error
):
    pipe = pipe_of(folder_of, task)
    with pytest.raises((TypeError, ValueError), match=error):
        Answering(pipe, Reading(), options)
