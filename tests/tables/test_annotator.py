"""Batches come back as what they were, with answers; here and in other processes."""

from __future__ import annotations

import collections
import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from checkpoints import draw_lively, write_checkpoint
from tasks import TASKS

import minidistil.tables.annotator
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


# Processes and threads

WAYS = {
    "pickle": lambda one: pickle.loads(pickle.dumps(one)),
    "cloudpickle": lambda one: cloudpickle.loads(cloudpickle.dumps(one)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("used", [False, True])
def test_a_copy_answers_alike(folder, way, used):
    annotate = Annotator("text-classification", str(folder), prefix="a_", top_k=None)
    expected = Annotator("text-classification", folder, top_k=None)({"text": TEXTS})
    if used:
        annotate({"text": TEXTS})
    found = WAYS[way](annotate)({"text": TEXTS})
    assert found["a_labels"] == expected["labels"]
    assert found["a_scores"] == expected["scores"]


def test_an_annotator_is_small_also_when_it_has_loaded_its_model(folder):
    annotate = Annotator("text-classification", str(folder))
    before = pickle.dumps(annotate)
    annotate({"text": ["a"]})
    assert pickle.dumps(annotate) == before
    assert len(before) < 1000


PROGRAM = """
import hashlib, pickle, sys
from datasets.fingerprint import Hasher
from minidistil import Annotator
text = "".join(["te", "xt"])  # no constant of this program
made = Annotator("zero-shot-classification", sys.argv[1], column=text,
    candidate_labels=["good", "bad", text], prefix="good")
for one in (made, pickle.loads(pickle.dumps(made))):
    print(hashlib.sha256(pickle.dumps(one)).hexdigest(), Hasher.hash(one))
"""


def test_a_map_is_looked_up_by_the_same_fingerprint_in_each_process():
    found = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, "a folder"],
            env=os.environ | {"PYTHONHASHSEED": seed, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found |= {*done.stdout.splitlines()}
    here = Annotator(
        "zero-shot-classification",
        "a folder",
        column="text",
        candidate_labels=["good", "bad", "text"],
        prefix="good",
    )
    from datasets.fingerprint import Hasher

    assert len(found) == 1
    assert found.pop().split()[1] == Hasher.hash(here)
    assert Hasher.hash(Annotator("ner", "a folder")) != Hasher.hash(here)


@pytest.mark.full
def test_a_spawned_worker_answers_alike(folder):
    annotate = Annotator("text-classification", folder)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as worker:
        found = worker.submit(annotate, {"text": TEXTS}).result()
    assert found == annotate({"text": TEXTS})


# In a process of its own, which has threads: the tests have one alone.
FORKED = """
import multiprocessing, sys, torch
from minidistil import Annotator
annotate = Annotator("text-classification", sys.argv[1])
batch = {"text": ["the man of the house is good " * 5] * 300}
before = annotate(batch)
assert torch.get_num_threads() == 2
with multiprocessing.get_context("fork").Pool(1) as pool:
    found = pool.apply_async(annotate, (batch,)).get(timeout=60)
assert found == before
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_that_was_forked_after_the_first_answers_does_not_wait_for_ever():
    done = subprocess.run(
        [sys.executable, "-c", FORKED, "tiny"],
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_model_is_loaded_once_however_many_threads_ask(folder, monkeypatch):
    loads = counted_loads(monkeypatch)
    annotate = Annotator("text-classification", folder)
    together = threading.Barrier(8)

    def ask(_: int) -> Any:
        together.wait()
        return annotate({"text": TEXTS})

    with ThreadPoolExecutor(8) as threads:
        found = [*threads.map(ask, range(8))]
    assert loads == [folder]
    assert all(one == found[0] for one in found)


def counted_loads(monkeypatch) -> list[Any]:
    loads: list[Any] = []

    def counting(task: str, model: Any, **options: Any) -> Any:
        loads.append(model)
        return pipeline(task, model, **options)

    monkeypatch.setattr(minidistil.tables.annotator, "pipeline", counting)
    monkeypatch.setattr(minidistil.tables.annotator, "_LOADED", {})
    return loads


def test_copies_that_a_pool_sends_with_every_batch_load_one_model(folder, monkeypatch):
    loads = counted_loads(monkeypatch)
    annotate = Annotator("text-classification", folder)
    for _ in range(3):
        pickle.loads(pickle.dumps(annotate))({"text": TEXTS})
    assert loads == [folder]
    other = Annotator("text-classification", folder, top_k=None)
    found = pickle.loads(pickle.dumps(other))({"text": TEXTS})
    assert "labels" in found
    assert loads == [folder] * 2


def test_a_copy_loads_a_checkpoint_anew_that_was_written_anew(tmp_path, monkeypatch):
    loads = counted_loads(monkeypatch)
    write_checkpoint(tmp_path, CLASSIFIER)
    sent = pickle.dumps(Annotator("text-classification", tmp_path))
    first = pickle.loads(sent)({"text": TEXTS})
    write_checkpoint(tmp_path, CLASSIFIER, draw=draw_lively)
    second = pickle.loads(sent)({"text": TEXTS})
    assert loads == [tmp_path] * 2
    assert first != second
    assert second == Annotator("text-classification", tmp_path)({"text": TEXTS})


def test_nothing_is_loaded_before_the_first_batch():
    annotate = Annotator("text-classification", "no such folder/at all")
    with pytest.raises(OSError, match="no such folder"):
        annotate({"text": ["a"]})
