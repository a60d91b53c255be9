"""What is said of rows that the pipeline refuses, and what the others get."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from answering import PAIRS, pipe_of, simple, texts
from tasks import TASKS

from minidistil import pipeline
from minidistil.tables.answering import Answering, Reading
from minidistil.tables.rows import LineRows, TableError

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
    assert str(error.value).startswith("a.jsonl, row 3 (column")
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
    told = [re.match(r"a\.jsonl, row (\d)", one)[1] for one in answered.problems]
    assert told == ["1", "3"]


def test_of_many_problems_the_first_are_kept_in_order(folder_of):
    """Those of a cell are found before those that the pipeline finds."""
    good, bad = {"choices": ["a", "b"]}, {"choices": "a"}
    rows = [{**(bad if i % 2 else good), "prompt": i % 3 or "a"} for i in range(60)]
    answering = Answering(
        pipe_of(folder_of, "multiple-choice"), Reading("prompt", on_error="null"), {}
    )
    answered = answering.answer([LineRows("a.jsonl", range(1, 61), rows)])
    told = [int(re.search(r"row (\d+)", one)[1]) for one in answered.problems]
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
    with pytest.raises(TableError, match="row 3"):
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
