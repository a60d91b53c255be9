"""Batches come back as what they were, with answers; here and in other processes."""

from __future__ import annotations

import collections
import copy
import pickle
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from checkpoints import draw_lively
from tasks import TASKS

from minidistil import Annotator, pipeline
from minidistil.tables.columns import arrow_type, columns_for
from minidistil.tables.rows import TableError

CLASSIFIER = TASKS["text-classification"][0]
TEXTS = ["a good film", None, "the man", " "]


@pytest.fixture
def folder(folder_of):
    return folder_of(CLASSIFIER, draw=draw_lively)


def batch_of(kind: str, columns: dict[str, list[Any]]) -> Any:
    if kind == "numpy":
        return {name: objects(values) for name, values in columns.items()}
    table = pa.table(columns)
    return {
        "lists": lambda: {**columns},
        "a table": lambda: table,
        "a record batch": lambda: table.to_batches()[0],
        "a frame": lambda: pd.DataFrame(columns),
    }[kind]()


def objects(values: list[Any]) -> Any:
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        array[i] = value
    return array


def column(batch: Any, name: str) -> list[Any]:
    """A column as Python's own values."""
    values = batch[name]
    if hasattr(values, "to_pylist"):
        return values.to_pylist()
    return [plain(value) for value in values]


def plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list):
        return [*map(plain, value)]
    if isinstance(value, float) and value != value:
        return None
    return float(value) if isinstance(value, float) else value


KINDS = ["lists", "numpy", "a table", "a record batch", "a frame"]
READ = {
    "question-answering": {"column": "question"},
    "multiple-choice": {"column": "prompt"},
}
COLUMNS = {
    "question-answering": {"question": ["who is it", None], "context": ["a man"] * 2},
    "multiple-choice": {"prompt": ["it is", None], "choices": [["good", "bad"]] * 2},
    "fill-mask": {"text": ["[MASK] is a [MASK]", None]},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", TASKS)
def test_a_batch_of_any_kind_comes_back_as_it_was_with_the_answers(
    folder_of, task, kind
):
    head, config, options, _ = TASKS[task]
    made = folder_of(head, draw=draw_lively, **config)
    columns = COLUMNS.get(task, {"text": ["I am a man", None]})
    batch = batch_of(kind, {"id": [7, 8], **columns, "more": ["a", None]})
    annotate = Annotator(task, made, **READ.get(task, {}), **options)
    found = annotate(batch)
    assert type(found) is type(batch)
    pipe = pipeline(task, made, **options)
    more = {"return_tensors": True} if task == "feature-extraction" else {}
    one = {name: values[0] for name, values in columns.items()}
    answer = pipe([one if len(one) > 1 else one["text"]], **more)
    answer = answer if task == "fill-mask" else answer[0]
    new = columns_for(pipe, {})
    for each in new:
        value = each.take(answer)
        value = value.tolist() if isinstance(value, torch.Tensor) else value
        first, second = column(found, each.name)
        assert first == value
        assert second is None or plain(second) == [None] * 20  # a vector of numpy's
    for name in ("id", *columns, "more"):
        assert column(found, name) == column(batch, name)
    order = (
        found.schema.names if isinstance(found, pa.Table | pa.RecordBatch) else found
    )
    assert [*order] == ["id", *columns, "more", *(each.name for each in new)]


@pytest.mark.parametrize("kind", ["a table", "a record batch"])
@pytest.mark.parametrize("values", [[], [None, " "], ["a [MASK]"]], ids=str)
@pytest.mark.parametrize("task", sorted(TASKS.keys() - READ))
def test_the_types_of_arrow_are_the_same_for_every_batch(folder_of, task, kind, values):
    head, config, options, _ = TASKS[task]
    made = folder_of(head, draw=draw_lively, **config)
    schema = pa.schema({"text": pa.string()}, metadata={"of": "us"})
    make = pa.Table if kind == "a table" else pa.RecordBatch
    batch = make.from_arrays([pa.array(values, pa.string())], schema=schema)
    found = Annotator(task, made, **options)(batch)
    for new in columns_for(pipeline(task, made, **options), {}):
        schema = schema.append(pa.field(new.name, arrow_type(new.kind)))
    assert found.schema == schema
    assert found.schema.metadata == {b"of": b"us"}


def test_numpys_columns_have_the_same_types_for_every_batch(folder_of, folder):
    annotate = Annotator("text-classification", folder)
    head, config, options, _ = TASKS["sentence-embeddings"]
    embed = Annotator("sentence-embeddings", folder_of(head, **config), **options)
    for values in ([], [None], ["a man"], ["a man", None]):
        found = annotate({"text": np.array(values, object)})
        assert (found["label"].dtype, found["score"].dtype) == (object, np.float64)
        vectors = embed({"text": np.array(values, object)})["vector"]
        assert (vectors.dtype, vectors.shape) == (np.float32, (len(values), 20))
        assert np.isnan(vectors[[text is None for text in values]]).all()


def test_strings_of_numpy_are_texts(folder):
    annotate = Annotator("text-classification", folder)
    strings = np.array(["a good film", "the man"])
    assert strings.dtype.kind == "U"
    expected = pipeline("text-classification", folder)([*map(str, strings)])
    assert annotate({"text": strings})["label"].tolist() == [
        one["label"] for one in expected
    ]


def test_a_frame_keeps_index_and_attributes_and_the_types_of_its_columns(folder):
    annotate = Annotator("text-classification", folder)
    frame = pd.DataFrame(
        {"x": pd.array([1, None], "Int64"), "text": pd.Categorical(["a", None])},
        index=pd.MultiIndex.from_tuples([("b", 3), ("b", 3)], names=["p", "q"]),
    )
    frame.attrs["from"] = "us"
    before = frame.copy(deep=True)
    found = annotate(frame)
    pd.testing.assert_frame_equal(found[["x", "text"]], before)
    pd.testing.assert_frame_equal(frame, before)
    assert found.attrs == {"from": "us"}
    assert found["score"].dtype == np.float64
    assert found["label"].dtype == pd.Series(["a"]).dtype


@pytest.mark.parametrize("values", [[], [None], ["a man", None]])
def test_the_types_of_a_frame_are_the_same_for_every_batch(folder, values):
    frame = pd.DataFrame({"text": pd.Series(values, dtype=object)})
    found = Annotator("text-classification", folder)(frame)
    assert found["score"].dtype == np.float64
    assert found["label"].dtype == pd.Series(["a"]).dtype


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_given_is_not_changed(folder, kind):
    batch = batch_of(kind, {"text": TEXTS})
    before = copy.deepcopy(batch)
    Annotator("text-classification", folder)(batch)
    assert column(batch, "text") == column(before, "text")
    names = batch.schema.names if hasattr(batch, "schema") else [*batch]
    assert names == ["text"]


@pytest.mark.parametrize(
    "make",
    [MappingProxyType, collections.UserDict, collections.OrderedDict],
)
def test_other_mappings_are_batches_too(folder, make):
    batch = make({"text": TEXTS})
    found = Annotator("text-classification", folder)(batch)
    assert [*batch] == ["text"]
    assert [*found] == ["text", "label", "score"]
    # A mapping that nobody can change comes back as a dict.
    assert type(found) is (dict if make is MappingProxyType else make)


def test_columns_may_be_of_any_library(folder):
    annotate = Annotator("text-classification", folder)
    expected = annotate({"text": TEXTS})["score"]
    for made in (tuple(TEXTS), pa.array(TEXTS), pa.chunked_array([TEXTS])):
        assert annotate({"text": made})["score"] == expected
    assert annotate({"text": pd.Series(TEXTS)})["score"] == expected


# What is wrong


def test_an_error_names_the_row_of_the_batch(folder):
    annotate = Annotator("text-classification", folder)
    with pytest.raises(TableError, match=r"^row 5 of the batch \(column 'text'\) is 3"):
        annotate({"text": ["a", None, "b", " ", 3, 4]})


@pytest.mark.parametrize(
    ("batch", "error", "said"),
    [
        ({"txt": []}, ValueError, "no column 'text'; did you mean 'txt'"),
        ({"text": [], "label": []}, ValueError, "prefix"),
        ({"text": "a man"}, TypeError, "column 'text' of the batch is a str, expected"),
        ([{"text": "a man"}], TypeError, "got a list, expected a batch of rows"),
        ("a man", TypeError, "got a str, expected a batch of rows"),
        (pa.array(["a"]), TypeError, "of pyarrow, expected a batch"),
    ],
)
def test_what_is_no_batch_is_an_error(folder, batch, error, said):
    with pytest.raises(error, match=said):
        Annotator("text-classification", folder)(batch)


def test_columns_of_different_lengths_are_an_error(folder):
    annotate = Annotator("text-classification", folder, second_column="b")
    with pytest.raises(ValueError, match=r"different lengths: \{'text': 1, 'b': 2\}"):
        annotate({"text": ["a"], "b": ["a", "b"]})


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (["text-clasification"], {}, "task is 'text-clasification', expected one of"),
        ([None], {}, "task is None, expected one of"),
        (["ner"], {"second_column": "b"}, "token-classification reads no such column"),
        (["ner"], {"on_error": "skip"}, "expected 'stop' or 'null'"),
        (["ner"], {"colum": "b"}, "no argument 'colum'"),
        (["ner"], {"stride": -1}, "stride is -1"),
        (["ner"], {"precision": "int3"}, "precision is 'int3'"),
    ],
)
def test_a_wrong_option_is_told_at_once(arguments, options, said):
    """Here, and not by a worker."""
    with pytest.raises((TypeError, ValueError), match=said):
        Annotator(*arguments, **options)


# Pipelines


def test_a_pipeline_that_is_there_can_be_given(folder):
    pipe = pipeline("text-classification", folder)
    named = Annotator("text-classification", folder, top_k=None)({"text": TEXTS})
    for made in (
        Annotator(pipe, top_k=None),
        Annotator.of(pipe, top_k=None),
        pickle.loads(pickle.dumps(Annotator.of(pipe, top_k=None))),
    ):
        assert made({"text": TEXTS}) == named


def test_a_pipeline_and_a_model_are_one_too_many(folder):
    pipe = pipeline("text-classification", folder)
    with pytest.raises(TypeError, match="one or the other"):
        Annotator(pipe, folder)
