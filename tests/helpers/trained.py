"""Small tables to learn from, one for each task, and the command that does so."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
import transformers
from checkpoints import write_checkpoint
from click.testing import Result
from commands import run
from texts import WORDS

SHORT = ("--epochs", 1, "--batch-size", 8)
# By task: the architecture of transformers, the name of the table, and a row of it.
TASKS = {
    "text-classification": ("SequenceClassification", "tsv"),
    "token-classification": ("TokenClassification", "jsonl"),
    "question-answering": ("QuestionAnswering", "jsonl"),
    "multiple-choice": ("MultipleChoice", "jsonl"),
    "fill-mask": ("MaskedLM", "txt"),
}


def words(place: int) -> list[str]:
    """Some words, others at each place."""
    return [WORDS[(place + 3 * i) % len(WORDS)] for i in range(4 + place % 3)]


def row(task: str, place: int) -> Any:
    """A row of a task; of texts one of two labels, which the words tell apart."""
    some = words(place)
    if task == "text-classification":
        return {"text": " ".join(some), "label": ("neg", "pos")["good" in some]}
    if task == "token-classification":
        tags = ["B-WHAT" if word == "film" else "O" for word in some]
        return {"tokens": some, "ner_tags": tags}
    if task == "question-answering":
        answers = {"text": [some[0]], "answer_start": [0]}
        return {"question": "the film", "context": " ".join(some), "answers": answers}
    if task == "multiple-choice":
        choices = [["good end", "far too long"], ["far too long", "good end"]]
        return {"prompt": some[0], "choices": choices[place % 2], "label": place % 2}
    return {"text": " ".join(some)}


def write_table(path: Path, task: str, count: int = 24) -> Path:
    """Rows of a task: TSV, JSON lines, or lines of text."""
    rows = [row(task, place) for place in range(count)]
    if path.suffix == ".tsv":
        lines = ["\t".join(rows[0]), *("\t".join(each.values()) for each in rows)]
    elif path.suffix == ".txt":
        lines = [each["text"] for each in rows]
    else:
        lines = [json.dumps(each) for each in rows]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def table_of(folder: Path, task: str, count: int = 24) -> Path:
    """The table of a task in a folder."""
    return write_table(folder / f"rows.{TASKS[task][1]}", task, count)


def encoder(folder: Path) -> Path:
    """A checkpoint without a head, of four layers, as transformers begins one."""

    def draw(model: torch.nn.Module, generator: torch.Generator) -> None:
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.02, generator=generator)

    return write_checkpoint(folder, "DistilBertModel", draw=draw, n_layers=4)


def train(task: str, model: Path, rows: Path, folder: Path, *more: Any) -> Result:
    """Run ``minidistil train``; the rows are those to measure with, too."""
    files = ("--train", rows, "--dev", rows, "-o", folder)
    return run("train", task, "-m", model, *files, *more)


def distil(teacher: Path, rows: Path, folder: Path, *more: Any) -> Result:
    """Run ``minidistil distil``; see `train`."""
    files = ("--train", rows, "--dev", rows, "-o", folder)
    return run("distil", "--teacher", teacher, *files, *more)


def logits_of_transformers(task: str, folder: Path, inputs: Any) -> list[torch.Tensor]:
    """What transformers' model of a task gives, loaded from a folder."""
    kind = getattr(transformers, f"AutoModelFor{TASKS[task][0]}")
    # A copy: the last bit depends on where in memory a matrix begins, and what
    # transformers maps from a file begins anywhere.
    model = copy.deepcopy(kind.from_pretrained(folder).eval())
    with torch.inference_mode():
        return [*model(**inputs).to_tuple()]
