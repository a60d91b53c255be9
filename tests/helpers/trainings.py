"""Small trainings of all heads, whose every step is quick."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from checkpoints import write_checkpoint
from lessons import HEADS, NAMES, learner_of, read, sentence
from safetensors.torch import load_file
from torch import Tensor

import minidistil
from minidistil.training.lessons import TaskLessons
from minidistil.training.loop import Training
from minidistil.training.processes import Processes
from minidistil.training.recipe import Recipe
from minidistil.training.training import Result, train

CPU = torch.device("cpu")
# Two passes a step, one of one row in the last batch of an epoch.
RECIPE: Mapping[str, Any] = {
    "epochs": 2,
    "batch_size": 6,
    "pass_rows": 3,
    "learning_rate": 3e-3,
    "warm_up": 2,
    "seed": 5,
}


def rows_of(task: str, count: int = 16) -> list[dict[str, Any]]:
    """Rows of different lengths, whose labels follow from their first words."""
    if task == "text-classification":
        return [
            {"text": " ".join(sentence(i, 2 + i % 9)), "label": i % 3}
            for i in range(count)
        ]
    if task == "token-classification":
        return [
            {
                "tokens": sentence(i, 2 + i % 5),
                "ner_tags": [NAMES[(i + j) % 5] for j in range(2 + i % 5)],
            }
            for i in range(count)
        ]
    if task == "question-answering":
        rows = []
        for i in range(count):
            words = sentence(i, 4 + i % 6)
            context, answer = " ".join(words), words[i % 3]
            found = {"text": [answer], "answer_start": [context.index(answer)]}
            rows.append(
                {"question": f"the {answer}", "context": context, "answers": found}
            )
        return rows
    if task == "multiple-choice":
        return [
            {
                "prompt": " ".join(sentence(i, 1 + i % 4)),
                "choices": [" ".join(sentence(i + j, 1 + j)) for j in range(3)],
                "label": i % 3,
            }
            for i in range(count)
        ]
    return [{"text": " ".join(sentence(i, 4 + i % 7))} for i in range(count)]


def checkpoint(folder: Path, task: str, **config: Any) -> Path:
    """Write a checkpoint with the head of a task."""
    architecture, options = HEADS[task]
    return write_checkpoint(folder, architecture, **(options | config))


def training_of(
    folder: Path,
    task: str,
    recipe: Mapping[str, Any] = RECIPE,
    *,
    teacher: Any = None,
    kept: Any = None,
    rows: Any = None,
    processes: Processes | None = None,
) -> Training:
    """What `train` would start from the checkpoint of a folder."""
    architecture, _ = HEADS[task]
    found = read(folder, task, rows or rows_of(task), dict(recipe))
    model = getattr(minidistil, architecture).from_pretrained(folder)
    learner = learner_of(model, found.labels.problem_type)
    if teacher is not None:
        learner = type(learner)(model, 2.0, teacher)  # type: ignore[call-arg,arg-type]
    followed = Recipe().changed(task=task, **recipe)
    lessons = TaskLessons(found, followed, kept)
    return Training(learner, lessons, followed, processes or Processes(), CPU)


def with_sgd(training: Training) -> Training:
    """Let every step be the gradient itself: what is computed is easily compared."""
    training.optimizer = torch.optim.SGD(training.student.parameters(), lr=1.0)
    return training


def weights(training: Training) -> dict[str, Tensor]:
    """A copy of what has been learnt."""
    named = training.student.named_parameters()
    return {name: weight.detach().clone() for name, weight in named}


def saved(folder: Path) -> dict[str, Tensor]:
    """The weights in the folder of a result."""
    return load_file(folder / "model.safetensors")


def log_of(folder: Path) -> list[dict[str, Any]]:
    """The lines of a log, without what depends on the clock."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [
        {name: x for name, x in line.items() if name != "tokens_per_second"}
        for line in lines
    ]


def fine_tune(
    start: Path,
    folder: Path,
    task: str = "text-classification",
    *,
    rows: Any = None,
    dev: Any = None,
    **options: Any,
) -> Result:
    """Train on some rows, and measure on some others."""
    rows, dev = rows or rows_of(task), dev or rows_of(task, 7)
    return train(start, rows, dev, folder, **{**RECIPE, "task": task, **options})


def stop_after(steps: int) -> Callable[[], bool]:
    """What to ask whether to stop: no, so many times but one, and then yes."""
    answers = iter([False] * (steps - 1) + [True] * 1000)
    return lambda: next(answers)


def other_weights(found: Path, wanted: Path) -> list[str]:
    """Which weights of a result are not those of another one, bit for bit."""
    mine, right = saved(found), saved(wanted)
    assert mine.keys() == right.keys()
    return [name for name in right if not mine[name].equal(right[name])]


def same(found: Path, wanted: Path) -> bool:
    """Whether two results have the same weights and the same log."""
    assert other_weights(found, wanted) == []
    assert log_of(found) == log_of(wanted)
    return True
