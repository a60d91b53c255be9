"""Rows in, the pipeline's own answers out, and what is said of rows without one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from answering import CASES, inputs_of, lines, pipe_of, simple, table, texts

from minidistil.tables.answering import Answering, Reading
from minidistil.tables.columns import arrow_array
from minidistil.tables.inputs import is_empty
from minidistil.tables.rows import LineRows, TableError


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("make", [lines, table])
def test_rows_get_the_answers_that_the_pipeline_gives_to_a_list(folder_of, case, make):
    task, reading, options, columns = CASES[case]
    pipe = pipe_of(folder_of, task)
    more = {"return_tensors": True} if task == "feature-extraction" else {}
    expected = [*pipe(inputs_of(columns), **options, **more)]
    rows = make(columns)
    answered = Answering(pipe, Reading(**reading), options).answer(
        [rows.slice(0, 3), rows.slice(3, 4)]
    )
    assert simple(answered.answers) == simple(expected)
    assert (answered.empty, answered.failed, answered.problems) == (0, 0, [])


@pytest.mark.parametrize("case", CASES)
def test_the_new_columns_hold_all_of_the_answers(folder_of, case):
    task, reading, options, columns = CASES[case]
    pipe = pipe_of(folder_of, task)
    answered = Answering(pipe, Reading(**reading), options).answer([table(columns)])
    got = {
        name: arrow_array(kind, values).to_pylist()
        for name, (kind, values) in answered.new.items()
    }
    assert got == {
        name: [EXPECTED[name](answer) for answer in answered.answers] for name in got
    }


def listed(answer: Any) -> list[Any]:
    return answer if isinstance(answer, list) else [answer]


# What a column says, by the names that answers have in the pipelines' documentation.
EXPECTED = {
    "label": lambda answer: listed(answer)[0]["label"],
    "score": lambda answer: listed(answer)[0]["score"],
    "labels": lambda answer: (
        answer["labels"]
        if isinstance(answer, dict)
        else [one["label"] for one in answer]
    ),
    "scores": lambda answer: (
        answer["scores"]
        if isinstance(answer, dict)
        else [one["score"] for one in answer]
    ),
    "entities": lambda answer: answer,
    "answer": lambda answer: answer,
    "answers": lambda answer: answer,
    "masks": lambda answer: [answer] if isinstance(answer[0], dict) else answer,
    "vector": lambda answer: answer.tolist(),
    "vectors": lambda answer: answer[0].tolist(),
}


@pytest.mark.parametrize("case", CASES)
def test_one_row_alone_gets_what_the_pipeline_gives_to_a_list_of_one(folder_of, case):
    task, reading, options, columns = CASES[case]
    pipe = pipe_of(folder_of, task)
    more = {"return_tensors": True} if task == "feature-extraction" else {}
    found = pipe(inputs_of(columns)[1:2], **options, **more)
    # "for a list of one text that alone", says the pipeline of masks
    expected = [found] if task == "fill-mask" else [*found]
    answering = Answering(pipe, Reading(**reading), options)
    answered = answering.answer([lines(columns).slice(1, 2)])
    assert simple(answered.answers) == simple(expected)


# Rows without a text

EMPTY = [None, "", " \t\n\u3000", float("nan"), np.float32("nan"), pd.NA, pd.NaT]


@pytest.mark.parametrize("cell", EMPTY, ids=repr)
def test_what_holds_no_text_is_empty(cell):
    assert is_empty(cell)


@pytest.mark.parametrize("cell", ["a", " a ", 0, 0.0, False, [], {}, b""], ids=repr)
def test_what_is_no_text_is_not_empty(cell):
    """It is a mistake, and the pipeline says so."""
    assert not is_empty(cell)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("cell", [None, " "])
def test_a_row_that_lacks_one_of_its_texts_is_answered_with_null(folder_of, case, cell):
    task, reading, options, columns = CASES[case]
    answering = Answering(pipe_of(folder_of, task), Reading(**reading), options)
    whole = lines(columns)
    for name in columns.keys() - {"asked"}:  # which no row needs
        rows = lines({**columns, name: [*columns[name][:2], cell, *columns[name][3:]]})
        answered = answering.answer([rows])
        others = answering.answer([whole.slice(0, 2), whole.slice(3, 4)]).answers
        expected = [*others[:2], None, *others[2:]]
        assert simple(answered.answers) == simple(expected)
        assert (answered.empty, answered.failed) == (1, 0)
        assert {values[2] for _, values in answered.new.values()} == {None}


def test_a_key_that_a_row_of_json_does_not_have_is_null(folder_of):
    rows = LineRows("a.jsonl", [1, 2], [{"text": "good"}, {"other": 1}])
    answering = Answering(pipe_of(folder_of, "text-classification"), Reading(), {})
    answered = answering.answer([rows])
    assert answered.answers[0]
    assert answered.answers[1] is None
    assert answered.empty == 1


def test_strictly_a_row_without_a_text_is_an_error_that_says_where(folder_of):
    pipe = pipe_of(folder_of, "question-answering")
    reading = Reading("question", strict=True, on_error="null")
    rows = table({"question": ["who", "what"], "context": ["a man", None]}, first=8)
    with pytest.raises(TableError, match=r"a\.parquet, row 9 \(column 'context'\)"):
        Answering(pipe, reading, {}).answer([rows])


def test_no_rows_and_empty_rows_have_columns_too(folder_of):
    answering = Answering(pipe_of(folder_of, "feature-extraction"), Reading(), {})
    assert answering.answer([]).new == {"vectors": (answering.columns[0].kind, [])}
    assert answering.answer([texts(None, "")]).new["vectors"][1] == [None, None]


# What cells may be


@pytest.mark.parametrize(
    "cell",
    [
        ["I am", "in"],
        ("I am", "in"),
        np.array(["I am", "in"], object),
        '["I am", "in"]',
        ' ["I am","in"]',
    ],
    ids=repr,
)
def test_words_can_be_a_list_or_a_list_in_json(folder_of, cell):
    pipe = pipe_of(folder_of, "token-classification", is_split_into_words=True)
    answered = Answering(pipe, Reading(), {}).answer([texts(cell)])
    assert answered.answers == pipe([["I am", "in"]])


@pytest.mark.parametrize("text", ["I  am", "[ 1 ] man", "[I am", "{}", " a "])
def test_a_text_is_split_into_words_at_the_delimiter(folder_of, text):
    """With all of the blanks, so that the answer's characters are those of the text."""
    pipe = pipe_of(folder_of, "token-classification", is_split_into_words=True)
    (found,) = Answering(pipe, Reading(), {}).answer([texts(text)]).answers
    assert found == pipe([text.split(" ")])[0]
    for one in found:
        assert text[one["start"] : one["end"]].lower() in one["word"]


@pytest.mark.parametrize("cell", [[], [" ", ""], [None], "[]", '[" "]'], ids=repr)
def test_a_list_without_words_is_empty(folder_of, cell):
    pipe = pipe_of(folder_of, "token-classification", is_split_into_words=True)
    answered = Answering(pipe, Reading(), {}).answer([texts(cell)])
    assert (answered.answers, answered.empty) == ([None], 1)


def test_another_delimiter_splits_at_itself(folder_of):
    pipe = pipe_of(folder_of, "token-classification", is_split_into_words=True)
    options = {"delimiter": "|"}
    answered = Answering(pipe, Reading(), options).answer([texts("I am|in")])
    assert answered.answers == pipe([["I am", "in"]], **options)


@pytest.mark.parametrize(
    "cell", [["so", "a man"], ("so", "a man"), '["so", "a man"]'], ids=repr
)
def test_choices_can_be_a_list_or_a_list_in_json(folder_of, cell):
    pipe = pipe_of(folder_of, "multiple-choice")
    rows = lines({"prompt": ["it is"], "choices": [cell]})
    answered = Answering(pipe, Reading("prompt"), {}).answer([rows])
    expected = pipe([{"prompt": "it is", "choices": ["so", "a man"]}])
    assert answered.answers == expected


@pytest.mark.parametrize("question", [None, "", " ", float("nan")], ids=repr)
def test_a_prompt_may_have_no_question(folder_of, question):
    pipe = pipe_of(folder_of, "multiple-choice")
    problem = {"prompt": "it is", "choices": ["so", "a man"]}
    rows = lines(
        {name: [cell] for name, cell in {**problem, "asked": question}.items()}
    )
    answering = Answering(pipe, Reading("prompt", question_column="asked"), {})
    assert answering.answer([rows]).answers == pipe([problem])


def test_the_size_of_a_row_is_the_characters_that_are_read(folder_of):
    pipe = pipe_of(folder_of, "multiple-choice")
    rows = lines(
        {"prompt": ["abc", None], "choices": [["a", "bc"], "[1]"], "more": ["abc", ""]}
    )
    assert Answering(pipe, Reading("prompt"), {}).size(rows) == [6, 3]
    many = Answering(pipe_of(folder_of, "fill-mask"), Reading("more"), {})
    assert many.size(table({"more": ["äé", None]})) == [2, 0]
