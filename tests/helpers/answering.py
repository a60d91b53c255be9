"""Rows for every task, and small pipelines that answer them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import torch
from checkpoints import draw_lively
from tasks import TASKS

from minidistil import pipeline
from minidistil.tables.rows import LineRows, TableRows

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
