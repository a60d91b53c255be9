"""A pipeline goes to other processes, and its copies answer alike: every task."""

from __future__ import annotations

import copy
import io
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import cloudpickle
import joblib
import pytest
import torch
from checkpoints import draw_lively
from tasks import TASKS

from minidistil import pipeline

HOW = {
    "float32": {"precision": "float32"},
    "bfloat16": {"precision": "bfloat16"},
    "int8": {"precision": "int8"},
    "the model itself": {"dtype": torch.float32},
}


def answers(pipe: Any, inputs: list[Any]) -> Any:
    found = pipe(inputs)
    return found.tolist() if isinstance(found, torch.Tensor) else found


def by_joblib(pipe: Any) -> Any:
    file = io.BytesIO()
    joblib.dump(pipe, file)
    file.seek(0)
    return joblib.load(file)


WAYS = {
    "pickle": lambda pipe: pickle.loads(pickle.dumps(pipe)),
    "cloudpickle": lambda pipe: cloudpickle.loads(cloudpickle.dumps(pipe)),
    "joblib": by_joblib,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.fixture(params=TASKS)
def made(request, folder_of):
    """What makes the pipeline of a task, and its inputs."""
    head, config, options, inputs = TASKS[request.param]
    folder = folder_of(head, draw=draw_lively, **config)
    return lambda **how: pipeline(request.param, folder, **how, **options), inputs


@pytest.fixture(scope="module")
def worker():
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        yield pool


@pytest.mark.parametrize("how", HOW)
def test_a_copy_answers_alike(made, how):
    make, inputs = made
    pipe = make(**HOW[how])
    expected = answers(pipe, inputs)
    for way in WAYS.values():
        assert answers(way(pipe), inputs) == expected


@pytest.mark.sample(8)
@pytest.mark.parametrize("how", HOW)
def test_a_spawned_worker_answers_alike(made, how, worker):
    make, inputs = made
    pipe = make(**HOW[how])
    expected = answers(pipe, inputs)
    assert worker.submit(answers, pipe, inputs).result(timeout=120) == expected
    # To send it has moved its weights to where both processes see them.
    assert answers(pipe, inputs) == expected
