"""A head of ours that takes a lesson, and transformers' own step on the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from texts import WORDS
from torch import Tensor, nn

import minidistil
from minidistil.config import DistilBertConfig
from minidistil.training.keys import generator
from minidistil.training.learners import LabelLearner, MaskedLearner, SpanLearner
from minidistil.training.recipe import Recipe
from minidistil.training.tasks import TASKS
from minidistil.training.tasks.base import Task

NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
# The architecture of each task's head, and what its configuration has to have.
HEADS: dict[str, tuple[str, dict[str, Any]]] = {
    "text-classification": ("DistilBertForSequenceClassification", {"num_labels": 3}),
    "token-classification": (
        "DistilBertForTokenClassification",
        {
            "id2label": dict(enumerate(NAMES)),
            "label2id": {name: i for i, name in enumerate(NAMES)},
        },
    ),
    "question-answering": ("DistilBertForQuestionAnswering", {}),
    "multiple-choice": ("DistilBertForMultipleChoice", {}),
    "fill-mask": ("DistilBertForMaskedLM", {}),
}
NO_DROPOUT = {
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "seq_classif_dropout": 0.0,
    "qa_dropout": 0.0,
}


def read(
    folder: Path,
    task: str,
    rows: Any,
    recipe: dict[str, Any] | None = None,
    **options: Any,
) -> Task:
    """Read rows for a task, with the tokenizer and the configuration of a folder."""
    kind: Any = TASKS[task]
    options.setdefault("config", DistilBertConfig.from_pretrained(folder))
    if "tokenizer" not in options:
        tokenizer = minidistil.DistilBertTokenizer.from_pretrained(folder)
        options["tokenizer"] = tokenizer
    changed = Recipe().changed(task=task, **(recipe or {}))
    found: Task = kind.read(rows, recipe=changed, **options)
    return found


def learner_of(model: nn.Module, problem: str | None = None) -> nn.Module:
    """What the loop would train."""
    if isinstance(model, minidistil.DistilBertForQuestionAnswering):
        return SpanLearner(model, temperature=2.0)
    if isinstance(model, minidistil.DistilBertForMaskedLM):
        return MaskedLearner(model, temperature=2.0)
    return LabelLearner(model, problem, temperature=2.0)


def models(folder: Path, architecture: str, **changes: Any) -> tuple[Any, Any]:
    """The same weights in both libraries, in training mode (without dropout)."""
    ours = getattr(minidistil, architecture).from_pretrained(folder, **changes)
    theirs = getattr(transformers, architecture).from_pretrained(folder, **changes)
    return ours.train(), theirs.train()


def take(task: Task, model: nn.Module, rows: Tensor, pass_rows: int) -> float:
    """Go back from the loss of a step, as the loop does; returns the loss."""
    learner = learner_of(model, task.labels.problem_type)
    step = task.lesson(rows, torch.split(rows, pass_rows), generator(0, "masks", 0))
    total = 0.0
    for inputs in step.passes:
        loss = learner(**inputs())["hard"] / step.counts["hard"]
        loss.backward()
        total += float(loss)
    return total


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """The gradient of each weight, by its name."""
    return {
        name: weight.grad
        for name, weight in model.named_parameters()
        if weight.grad is not None
    }


def sentence(start: int, count: int) -> list[str]:
    """So many words."""
    return [WORDS[(start + 3 * i) % len(WORDS)] for i in range(count)]
