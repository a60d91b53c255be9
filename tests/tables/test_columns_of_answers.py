"""What the new columns are called, and what types they have."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
import torch
from tasks import TASKS

from minidistil import pipeline
from minidistil.tables.columns import Vector, arrow_array, arrow_type, columns_for

WORD = [("word", pa.string()), ("start", pa.int64()), ("end", pa.int64())]
ENTITY = [("entity_group", pa.string()), ("score", pa.float64()), *WORD]
TOKEN = [
    ("entity", pa.string()),
    ("score", pa.float64()),
    ("index", pa.int64()),
    *WORD,
]
SPAN = [
    ("answer", pa.string()),
    ("score", pa.float64()),
    ("start", pa.int64()),
    ("end", pa.int64()),
]
FILLED = [
    ("score", pa.float64()),
    ("token", pa.int64()),
    ("token_str", pa.string()),
    ("sequence", pa.string()),
]
CHOICE = [("choice", pa.string()), ("index", pa.int64()), ("score", pa.float64())]
ONE = {"label": pa.string(), "score": pa.float64()}
SEVERAL = {"labels": pa.list_(pa.string()), "scores": pa.list_(pa.float64())}
VECTOR = pa.list_(pa.float32(), 20)  # the width of the small checkpoints
# The task, options of the call, and the types.
CASES: list[tuple[str, dict[str, Any], dict[str, pa.DataType]]] = [
    ("text-classification", {}, ONE),
    ("text-classification", {"top_k": 1}, ONE),
    ("text-classification", {"top_k": 2}, SEVERAL),
    ("text-classification", {"top_k": None}, SEVERAL),
    ("token-classification", {}, {"entities": pa.list_(pa.struct(TOKEN))}),
    (
        "token-classification",
        {"aggregation_strategy": "Max"},
        {"entities": pa.list_(pa.struct(ENTITY))},
    ),
    ("question-answering", {}, {"answer": pa.struct(SPAN)}),
    ("question-answering", {"top_k": 3}, {"answers": pa.list_(pa.struct(SPAN))}),
    ("fill-mask", {}, {"masks": pa.list_(pa.list_(pa.struct(FILLED)))}),
    ("zero-shot-classification", {}, SEVERAL),
    ("multiple-choice", {}, {"answers": pa.list_(pa.struct(CHOICE))}),
    ("sentence-embeddings", {}, {"vector": VECTOR}),
    ("feature-extraction", {}, {"vectors": pa.list_(VECTOR)}),
]


def pipe_of(folder_of, task: str) -> Any:
    head, config, options, _ = TASKS[task]
    return pipeline(task, folder_of(head, **config), **options)


@pytest.mark.parametrize(("task", "options", "types"), CASES)
def test_the_columns_of_each_task_have_names_and_types(folder_of, task, options, types):
    pipe = pipe_of(folder_of, task)
    found = {one.name: arrow_type(one.kind) for one in columns_for(pipe, options)}
    assert found == types
    assert [*found] == [*types]


def test_the_options_of_the_pipeline_count_as_those_of_the_call_do(folder_of):
    folder = folder_of(TASKS["text-classification"][0])
    pipe = pipeline("text-classification", folder, top_k=None)
    assert [one.name for one in columns_for(pipe, {})] == ["labels", "scores"]
    assert [one.name for one in columns_for(pipe, {"top_k": 1})] == ["label", "score"]


def test_a_prefix_stands_before_each_name(folder_of):
    pipe = pipe_of(folder_of, "text-classification")
    names = [one.name for one in columns_for(pipe, {}, "new_")]
    assert names == ["new_label", "new_score"]


# Values of each kind, and what pyarrow makes of the same in Python's own numbers.
VECTORS = torch.tensor([[0.1, -1e-38, 3e38], [1 / 3, 0.0, float("inf")]])
VALUES: list[tuple[Any, list[Any], list[Any]]] = [
    ("string", ["a", None, ""], ["a", None, ""]),
    ("double", [0.1, None], [0.1, None]),
    (["string"], [["a"], None, []], [["a"], None, []]),
    ([{"start": "int64"}], [[{"start": 1}], None], [[{"start": 1}], None]),
    (Vector(3), [VECTORS[0], None, VECTORS[1]], [*VECTORS[:1], None, *VECTORS[1:]]),
    (Vector(3), [None, None], [None, None]),
    ([Vector(3)], [VECTORS, None, VECTORS[:1]], [[*VECTORS], None, [VECTORS[0]]]),
    ([Vector(3)], [None, VECTORS[:0]], [None, []]),
]


def plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.tolist()
    return [*map(plain, value)] if isinstance(value, list) else value


@pytest.mark.parametrize(("kind", "values", "same"), VALUES)
def test_values_become_what_pyarrow_makes_of_them(kind, values, same):
    array = arrow_array(kind, values)
    array.validate(full=True)
    assert array.equals(pa.array(plain(same), type=arrow_type(kind)))


@pytest.mark.parametrize("kind", [kind for kind, _, _ in VALUES], ids=str)
@pytest.mark.parametrize("values", [[], [None]], ids=["none", "null"])
def test_the_type_does_not_depend_on_the_values(kind, values):
    assert arrow_array(kind, values).type == arrow_type(kind)
    assert arrow_array(kind, values).to_pylist() == values


def test_a_vector_of_another_type_becomes_float32():
    array = arrow_array(Vector(3), [VECTORS[0].double()])
    assert array.to_pylist() == [VECTORS[0].tolist()]
