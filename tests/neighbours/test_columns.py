"""Columns of pandas, datasets and pyarrow go into pipelines as lists do."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest
import torch
from checkpoints import draw_lively
from datasets import Dataset

from minidistil import Engine, explain, pipeline

TEXTS = ["a good film", "the man", "it is the house"]
COLUMNS = {
    "series": lambda items: pd.Series(items, index=[9, 8, 7]),
    "strings": lambda items: pd.Series(items, dtype="string"),
    "categories": pd.Categorical,
    "index": pd.Index,
    "array": pa.array,
    "chunks": lambda items: pa.chunked_array([items[:1], items[1:]]),
    "column": lambda items: Dataset.from_dict({"text": items})["text"],
}


@pytest.fixture(params=COLUMNS)
def column(request):
    return COLUMNS[request.param]


def test_texts_may_be_a_column(column, folder_of):
    pipe = pipeline("text-classification", folder_of(draw=draw_lively))
    found = pipe(column(TEXTS))
    assert type(found) is list
    assert found == pipe(TEXTS)


def test_questions_and_contexts_may_be_columns(column, folder_of):
    folder = folder_of("DistilBertForQuestionAnswering", draw=draw_lively)
    pipe = pipeline("question-answering", folder)
    contexts = [f"{text} in the film" for text in TEXTS]
    found = pipe(question=column(TEXTS), context=column(contexts))
    assert found == pipe(question=TEXTS, context=contexts)


def test_labels_words_and_targets_may_be_columns(column, folder_of):
    names = {0: "contradiction", 1: "entailment"}
    zero_shot = pipeline("zero-shot-classification", folder_of(id2label=names))
    assert zero_shot("a film", column(TEXTS)) == zero_shot("a film", TEXTS)
    fill = pipeline("fill-mask", folder_of("DistilBertForMaskedLM"))
    words = ["good", "man", "house"]
    text = "the [MASK] is here"
    assert fill(text, targets=column(words)) == fill(text, targets=words)
    head = "DistilBertForTokenClassification"
    tag = pipeline("ner", folder_of(head, draw=draw_lively), is_split_into_words=True)
    assert tag(column(words)) == tag(words)
    assert tag(words) != [[]]
    assert tag(words, ignore_labels=column(["LABEL_0", "LABEL_1", "O"])) == [[]]


def test_an_explanation_may_be_of_a_column(column):
    found = explain(column(TEXTS), "tiny")
    assert [trace.label for trace in found] == [
        trace.label for trace in explain(TEXTS, "tiny")
    ]


@pytest.mark.parametrize(
    "make", [pd.Series, lambda ids: Dataset.from_dict({"a": ids})["a"]]
)
def test_an_engine_takes_a_column_of_ids(make):
    engine, ids = Engine.from_pretrained("tiny"), [[101, 2023, 102], [101, 102]]
    assert all(map(torch.equal, engine(make(ids)), engine(ids)))


def test_a_missing_text_is_named_by_its_place(folder_of):
    pipe = pipeline("text-classification", folder_of(draw=draw_lively))
    for missing in (None, float("nan"), pd.NA):
        with pytest.raises(TypeError, match=f"text 1 is {missing!r} .*expected a str"):
            pipe(pd.Series(["a film", missing], dtype=object))


def test_a_table_is_not_taken_for_the_names_of_its_columns(folder_of):
    pipe = pipeline("text-classification", folder_of(draw=draw_lively))
    for table in (pd.DataFrame({"text": TEXTS}), pa.table({"text": TEXTS})):
        with pytest.raises(
            TypeError, match=r"one column of it, such as table\['text'\]"
        ):
            pipe(table)
