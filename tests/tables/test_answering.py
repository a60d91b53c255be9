"""Rows in, the pipeline's own answers out, and what is said of rows without one."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from checkpoints import draw_lively
from tasks import TASKS

from minidistil import pipeline
from minidistil.tables.answering import Answering, Reading
from minidistil.tables.columns import arrow_array
from minidistil.tables.inputs import is_empty
from minidistil.tables.rows import LineRows, TableError, TableRows

# For each task: which columns it reads, rows, and what is asked of the pipeline.
PAIRS = {"second_column": "beside"}
TEXTS = ["a good film", "the man", "I am in the house", "it is not so good"]
SPLIT = [["I", "am"], ["in", "the", "house"], ["a", "film"], ["the", "man"]]
QUESTIONS = {"question": TEXTS, "context": [f"{text} of the house" for text in TEXTS]}
CHOICES = [["good", "big"], ["a man", "the house", "so"]] * 2
MASKED = ["the [MASK] is good", "[MASK] of [MASK]", "a [MASK]", "the [MASK]"]
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], dict[str, list[Any]]]] = {
    "texts": ("text-classification", {}, {}, {"text": TEXTS}),
    "all labels": ("text-classification", {}, {"top_k": None}, {"text": TEXTS}),
    "one label": ("text-classification", {}, {"top_k": 1}, {"text": TEXTS}),
    "pairs": (
        *("text-classification", PAIRS, {}),
        {"text": TEXTS, "beside": TEXTS[::-1]},
    ),
    "tokens": ("token-classification", {}, {}, {"text": TEXTS}),
    "entities": (
        *("token-classification", {}, {"aggregation_strategy": "simple"}),
        {"text": TEXTS},
    ),
    "words": (
        *("token-classification", {}, {"is_split_into_words": True}),
        {"text": SPLIT},
    ),
    "questions": ("question-answering", {"column": "question"}, {}, QUESTIONS),
    "two answers": (
        *("question-answering", {"column": "question"}, {"top_k": 2}),
        QUESTIONS,
    ),
    "masks": ("fill-mask", {}, {"top_k": 3}, {"text": MASKED}),
    "labels of one's own": ("zero-shot-classification", {}, {}, {"text": TEXTS}),
    "choices": (
        *("multiple-choice", {"column": "prompt"}, {}),
        {"prompt": TEXTS, "choices": CHOICES},
    ),
    "choices of a question": (
        *("multiple-choice", {"column": "prompt", "question_column": "asked"}, {}),
        {"prompt": TEXTS, "choices": CHOICES, "asked": ["who?", None, "", "what?"]},
    ),
    "vectors": ("sentence-embeddings", {}, {}, {"text": TEXTS}),
    "vectors of tokens": ("feature-extraction", {}, {}, {"text": TEXTS}),
}
NAMES = {"beside": "text_pair", "asked": "question"}  # in the pipeline's inputs


def pipe_of(folder_of, task: str, **options: Any) -> Any:
    head, config, own, _ = TASKS[task]
    return pipeline(task, folder_of(head, draw=draw_lively, **config), **own, **options)


def inputs_of(columns: dict[str, list[Any]]) -> list[Any]:
    """What the pipeline is given for such rows."""
    if len(columns) == 1:
        return [*columns["text"]]
    names = [NAMES.get(name, name) for name in columns]
    rows = zip(*columns.values(), strict=True)
    return [
        {name: value for name, value in zip(names, row, strict=True) if value}
        for row in rows
    ]


def lines(columns: dict[str, list[Any]], file: str = "a.jsonl") -> LineRows:
    rows = [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]
    return LineRows(file, range(1, len(rows) + 1), rows)


def table(columns: dict[str, list[Any]], first: int = 1) -> TableRows:
    return TableRows("a.parquet", first, pa.table(columns))


def texts(*values: Any) -> LineRows:
    return lines({"text": [*values]})


def simple(value: Any) -> Any:
    """Tensors as lists, so that answers can be compared."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    return [*map(simple, value)] if isinstance(value, list) else value


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


# Rows that the pipeline refuses

LONG = "a man " * 60  # more than the 48 tokens that the checkpoints read
ERROR = {"truncation": "error"}
# The task, its columns and options, a row that is refused, and what is said of it.
WRONG: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], str]] = [
    ("text-classification", {}, {}, {"text": 3}, "(column 'text') is 3 (int)"),
    ("text-classification", {}, {}, {"text": b"a"}, "(column 'text') is b'a' (bytes)"),
    (
        *("text-classification", {}, {}, {"text": "a \ud800"}),
        "(column 'text') has half of a surrogate pair",
    ),
    (
        *("text-classification", {}, ERROR, {"text": LONG}),
        "(column 'text'): a text has 120 tokens",
    ),
    (
        *("text-classification", PAIRS, ERROR, {"text": "a", "beside": LONG}),
        "(columns 'text', 'beside'): a choice, hypothesis or second text has 120",
    ),
    (
        *("text-classification", PAIRS, {}, {"text": "a", "beside": 3}),
        "(columns 'text', 'beside') is {'text': 'a', 'text_pair': 3}",
    ),
    ("token-classification", {}, {}, {"text": 3}, "(column 'text') is 3 (int)"),
    (
        *("token-classification", {}, {"is_split_into_words": True}),
        *({"text": ["a", 3]}, "(column 'text') is ['a', 3] (list), expected a list of"),
    ),
    (
        *("token-classification", {}, {"is_split_into_words": True, "delimiter": ""}),
        *({"text": "a man"}, "(column 'text') is 'a man', expected a list of words"),
    ),
    (
        *("question-answering", {"column": "question"}, {}),
        *({"question": "a", "context": 3}, "(column 'context') is 3 (int)"),
    ),
    (
        *("question-answering", {"column": "question"}, {"max_seq_len": 9}),
        {"question": "a man of the house in the house", "context": "a man"},
        "(columns 'question', 'context'): a question has 8 tokens",
    ),
    ("fill-mask", {}, {}, {"text": "a man"}, "(column 'text') has no mask: 'a man'"),
    (
        *("fill-mask", {}, {}, {"text": f"{LONG} [MASK]"}),
        "(column 'text'): the text has 121 tokens",
    ),
    (
        *("zero-shot-classification", {}, ERROR, {"text": LONG}),
        "(column 'text'): a text has 120 tokens",
    ),
    *(
        (
            *("multiple-choice", {"column": "prompt"}, {}),
            {"prompt": "a man", "choices": choices},
            f"(columns 'prompt', 'choices') has the choices {choices!r}",
        )
        for choices in ("a, b", '{"a": 1}', "[1", 3, ["a"], ["a", 3], {"a": 1})
    ),
    (
        *("multiple-choice", {"column": "prompt"}, {}),
        *({"prompt": 3, "choices": ["a", "b"]}, "has the prompt 3"),
    ),
    (
        *("sentence-embeddings", {}, ERROR, {"text": LONG}),
        "(column 'text'): a text has 120 tokens",
    ),
    (
        *("feature-extraction", {}, ERROR, {"text": LONG}),
        "(column 'text'): a text has 120 tokens",
    ),
]
GOOD: dict[str, dict[str, Any]] = {
    "question-answering": {"question": "who", "context": "a man"},
    "multiple-choice": {"prompt": "a man", "choices": ["good", "bad"]},
    "fill-mask": {"text": "a [MASK]"},
}


def good_row(task: str, row: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    text = ["the", "man"] if "is_split_into_words" in options else "the man"
    return GOOD.get(task) or dict.fromkeys(row, text)


@pytest.mark.parametrize(("task", "reading", "options", "row", "said"), WRONG)
def test_a_row_that_is_refused_is_told_with_file_and_row_and_column(
    folder_of, task, reading, options, row, said
):
    good = good_row(task, row, options)
    rows = LineRows("a.jsonl", [1, 3, 4], [good, row, good])
    answering = Answering(pipe_of(folder_of, task), Reading(**reading), options)
    with pytest.raises(TableError) as error:
        answering.answer([LineRows("b.jsonl", [1], [good]), rows])
    assert str(error.value).startswith("a.jsonl, line 3 (column")
    assert said in str(error.value)


@pytest.mark.parametrize(("task", "reading", "options", "row", "said"), WRONG)
def test_a_row_that_is_refused_can_be_answered_with_null(
    folder_of, task, reading, options, row, said
):
    good = good_row(task, row, options)
    rows = LineRows("a.jsonl", [1, 2, 3, 4], [row, good, row, good])
    pipe = pipe_of(folder_of, task)
    reading = Reading(**reading, on_error="null")
    answering = Answering(pipe, reading, options)
    (alone,) = answering.answer([rows.slice(1, 2)]).answers
    answered = answering.answer([rows])
    assert alone is not None
    assert simple(answered.answers) == simple([None, alone, None, alone])
    assert (answered.empty, answered.failed) == (0, 2)
    told = [re.match(r"a\.jsonl, line (\d)", one)[1] for one in answered.problems]
    assert told == ["1", "3"]


def test_of_many_problems_the_first_are_kept_in_order(folder_of):
    """Those of a cell are found before those that the pipeline finds."""
    good, bad = {"choices": ["a", "b"]}, {"choices": "a"}
    rows = [{**(bad if i % 2 else good), "prompt": i % 3 or "a"} for i in range(60)]
    answering = Answering(
        pipe_of(folder_of, "multiple-choice"), Reading("prompt", on_error="null"), {}
    )
    answered = answering.answer([LineRows("a.jsonl", range(1, 61), rows)])
    told = [int(re.search(r"line (\d+)", one)[1]) for one in answered.problems]
    wrong = [i + 1 for i in range(60) if i % 2 or i % 3]
    assert answered.failed == len(wrong)
    assert told == wrong[:10]


def counted(pipe: Any) -> list[int]:
    """How many sequences the pipeline runs its model on, call by call."""
    counts: list[int] = []
    start = pipe.start

    def counting(sequences: Any, *more: Any) -> Any:
        counts.append(len(sequences))
        return start(sequences, *more)

    pipe.start = counting
    return counts


@pytest.mark.parametrize("places", [[0], [1029], [5, 6, 7], [*range(0, 1030, 9)], []])
def test_each_row_that_is_good_is_computed_once(folder_of, places):
    """Also beside rows that are refused, in lists of more than is answered at once."""
    pipe = pipe_of(folder_of, "text-classification")
    counts = counted(pipe)
    values = [LONG if place in places else "the man" for place in range(1030)]
    answering = Answering(pipe, Reading(on_error="null"), ERROR)
    answered = answering.answer([texts(*values)])
    assert answered.failed == len(places)
    missing = [i for i, answer in enumerate(answered.answers) if answer is None]
    assert missing == places
    assert sum(counts) == 1030 - len(places)


def test_rows_between_those_that_are_refused_get_their_own_answers(folder_of):
    pipe = pipe_of(folder_of, "sentence-embeddings")
    words = [f"{chr(97 + i % 26)} {chr(97 + i // 26)}" for i in range(100)]
    values = [i if i % 7 == 3 else word for i, word in enumerate(words)]
    answered = Answering(pipe, Reading(on_error="null"), {}).answer([texts(*values)])
    for i, (answer, expected) in enumerate(
        zip(answered.answers, pipe(words), strict=True)
    ):
        assert (answer is None) == (i % 7 == 3)
        # What else is in a batch shows in the last digits.
        assert answer is None or torch.allclose(answer, expected, atol=1e-5)


def test_with_stop_nothing_is_computed_for_the_list_that_has_the_row(folder_of):
    pipe = pipe_of(folder_of, "text-classification")
    counts = counted(pipe)
    with pytest.raises(TableError, match="line 3"):
        Answering(pipe, Reading(), ERROR).answer([texts("a", "b", LONG, "c")])
    assert counts == []


# What is about no row


@pytest.mark.parametrize(
    "error",
    [
        ValueError("the model's results are NaN or infinite"),
        TypeError("unsupported operand"),
        IndexError("text 0 is out of range"),
        MemoryError(),
        OSError(28, "No space left on device"),
        RuntimeError("text 0: CUDA error"),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_an_error_that_is_not_of_a_row_is_raised_as_it_is(folder_of, error):
    pipe = pipe_of(folder_of, "text-classification")

    def fail(*arguments: Any) -> Any:
        raise error

    pipe.start = fail
    with pytest.raises(type(error)) as raised:
        Answering(pipe, Reading(on_error="null"), {}).answer([texts("a", "b")])
    assert raised.value is error


def test_a_damaged_model_is_not_answered_with_null(folder_of):
    folder = folder_of(TASKS["text-classification"][0])
    pipe = pipeline("text-classification", folder, dtype=torch.float32)
    with torch.no_grad():
        pipe.model.classifier.bias.fill_(torch.nan)
    with pytest.raises(ValueError, match="NaN or infinite") as error:
        Answering(pipe, Reading(on_error="null"), {}).answer([texts("a", "b")])
    assert not isinstance(error.value, TableError)


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


def test_the_size_of_a_row_is_the_characters_that_are_read(folder_of):
    pipe = pipe_of(folder_of, "multiple-choice")
    rows = lines(
        {"prompt": ["abc", None], "choices": [["a", "bc"], "[1]"], "more": ["abc", ""]}
    )
    assert Answering(pipe, Reading("prompt"), {}).size(rows) == [6, 3]
    many = Answering(pipe_of(folder_of, "fill-mask"), Reading("more"), {})
    assert many.size(table({"more": ["äé", None]})) == [2, 0]


# Names


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
    with pytest.raises(TableError, match=r"a\.jsonl, line 4: .*'score' already"):
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
