"""An annotator goes to other processes, and its copies answer alike."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import cloudpickle
import pytest
from checkpoints import draw_lively, write_checkpoint
from datasets import Dataset
from tasks import TASKS

import minidistil.tables.annotator
from minidistil import Annotator, pipeline

CLASSIFIER = TASKS["text-classification"][0]
TEXTS = ["a good film", None, "the man", " "]


@pytest.fixture
def folder(folder_of):
    return folder_of(CLASSIFIER, draw=draw_lively)


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


@pytest.mark.full
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


def test_a_pickle_does_not_show_which_equal_strings_are_one_object():
    one, other = ("".join(["te", "xt"]) for _ in range(2))
    assert one is not other
    task = "zero-shot-classification"
    apart = Annotator(task, "a", column=one, candidate_labels=[other, "b"])
    as_one = Annotator(task, "a", column=one, candidate_labels=[one, "b"])
    assert pickle.dumps(apart) == pickle.dumps(as_one)


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


@pytest.mark.full
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


# datasets


@pytest.mark.parametrize("workers", [None, 2])
@pytest.mark.parametrize("form", [None, "arrow", "pandas", "numpy"])
def test_a_dataset_gets_the_answers_batch_by_batch(folder, tmp_path, workers, form):
    # By itself, datasets takes the types of a list from its first batch.
    rows = {"id": [*range(8)], "text": TEXTS * 2}
    data = Dataset.from_dict(rows).with_format(form)
    annotate = Annotator("text-classification", str(folder))
    mapped = data.map(annotate, batched=True, batch_size=4, num_proc=workers)
    found = mapped.with_format(None)[:]
    expected = annotate(rows)
    scores = [None if score != score else score for score in found.pop("score")]
    assert scores == expected.pop("score")
    assert found == expected


def test_a_batch_of_datasets_reads_no_column_that_is_not_needed(folder):
    seen = []
    data = Dataset.from_dict({"id": [1, 2], "text": ["a", "b"]})
    annotate = Annotator("text-classification", str(folder))

    def look(batch: Any) -> Any:
        found = annotate(batch)
        seen.append((type(found) is type(batch), {*found.keys_to_format}))
        return found

    mapped = data.map(look, batched=True, new_fingerprint="looked")
    assert seen == [(True, {"id"})]
    assert mapped.column_names == ["id", "text", "label", "score"]


def test_a_row_of_datasets_is_no_batch(folder):
    annotate = Annotator("text-classification", str(folder))
    with pytest.raises(TypeError, match="batched=True"):
        Dataset.from_dict({"text": ["a"]}).map(annotate)
