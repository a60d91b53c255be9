"""How good a model is on a task's rows: sums, and never all logits at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from minidistil.auto import identify
from minidistil.checkpoint.devices import computing_device
from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.inputs import checked_before
from minidistil.pipelines.running import as_one_tensor
from minidistil.progress import sequences_read
from minidistil.training.labels import Labels
from minidistil.training.learners import words
from minidistil.training.masking import IGNORED
from minidistil.training.measures import Measure
from minidistil.training.processes import Processes
from minidistil.training.recipe import RECIPE, recipe_of
from minidistil.training.rows import Data
from minidistil.training.starting import Name, task_of, tokenizer_of
from minidistil.training.tasks import TASKS
from minidistil.training.tasks.base import Task
from minidistil.training.tasks.masked_lm import MaskedLM

# The tokens that are computed at once, padding included: of base size, a block has
# about 100 MB of vectors then. More is no faster on a CPU.
TOKENS = 4_096


def evaluate(
    model: Name,
    rows: Data,
    *,
    columns: Mapping[str, str] | None = None,
    device: str = "cpu",
    **changes: Any,
) -> Measure:
    """Measure a trained model on rows with labels.

    Rows are read as its training has read them, if there is a recipe in its folder:
    so long, and with as many hidden words.

    Args:
        model: A checkpoint with a head: a folder, or a hub repository.
        rows: A file, folder or glob of tables, what `minidistil.tables.open_source`
            gives, or a sequence of mappings.
        columns: By role ("text", "label", …), the name of the column.
        device: Such as "cpu" or "cuda".
        changes: Numbers of the recipe that are to be others.

    Returns:
        Its `results` are figures by name, its `details` are JSON.

    Raises:
        StartError: if the model has no head.
        TrainingDataError: if a row is wrong, or has a label that the model has not.
    """
    place = computing_device(device)
    task = task_of(model)
    kind: Any = TASKS[task]
    files, config, *_ = identify(model)
    kept = files.find(RECIPE) if files.has(RECIPE) else None
    read: Task = kind.read(
        rows,
        tokenizer=tokenizer_of(model),
        recipe=recipe_of(kept, task, changes),
        config=config,
        columns=columns,
        labels=Labels.of(config),
    )
    return measured(kind.kind.from_pretrained(model, device=place), read, place)


def measured(
    model: PreTrainedModel,
    task: Task,
    device: torch.device,
    processes: Processes | None = None,
) -> Measure:
    """Measure a model on all rows of a task, each of them once.

    The rows are divided among the processes, and every process gets the whole result.
    """
    processes = processes or Processes()
    measure = task.measure()
    was_training = model.training
    model.eval()
    try:
        for number, rows in enumerate(of_like_length(task.lengths)):
            if number % processes.count == processes.rank:
                measure.add(rows, _found(model, task, rows, device))
                sequences_read(len(rows))
    finally:
        model.train(was_training)
    states = processes.gathered(measure.state())
    whole = task.measure()
    whole.shown = lambda row: {"row": task.where(row), "text": task.text(row)}
    for state in states:
        whole.merge(state)
    return whole


def _found(
    model: PreTrainedModel, task: Task, rows: Tensor, device: torch.device
) -> Tensor:
    """What the task's measure takes of some rows."""
    if isinstance(task, MaskedLM):
        return _guesses(model, task, rows, device)
    return logits_of(model, task, rows, device)


@torch.inference_mode()
def _guesses(
    model: PreTrainedModel, task: MaskedLM, rows: Tensor, device: torch.device
) -> Tensor:
    """Of each row the loss, the hidden words, those guessed right: (B, 3)."""
    masked_lm: Any = model
    inputs, labels = task.questions(rows)
    places = (labels != IGNORED).flatten().nonzero().flatten()
    moved = {name: each.to(device) for name, each in inputs.items()}
    with checked_before():
        encoded = masked_lm.distilbert(**moved, return_dict=True).last_hidden_state
    states = encoded.flatten(0, 1)[places.to(device)]
    wanted = labels.flatten()[places].to(device)
    sums = torch.zeros(len(rows), 3, dtype=torch.float64)
    of_rows = places // labels.shape[1]
    # Some at a time: 1,024 times 30,522 scores are 125 MB.
    for at, some, right in zip(
        *(each.split(1024) for each in (of_rows, states, wanted)), strict=True
    ):
        scores = words(masked_lm, some).float()
        losses = cross_entropy(scores, right, reduction="none")
        guessed = scores.argmax(dim=-1) == right
        found = torch.stack((losses, torch.ones_like(losses), guessed.float()), dim=1)
        sums.index_add_(0, at, found.cpu().double())
    return sums


@torch.inference_mode()
def logits_of(
    model: PreTrainedModel, task: Task, rows: Tensor, device: torch.device
) -> Tensor:
    """What a model says of some rows, on the CPU, float32; see `Task.inputs`."""
    inputs = {name: each.to(device) for name, each in task.inputs(rows).items()}
    with checked_before():
        out = model(**inputs, return_dict=True)
    return as_one_tensor(out).float().cpu()


def of_like_length(lengths: Tensor) -> Iterator[Tensor]:
    """Split rows, the longest first, so that little of what is computed is padding."""
    order = lengths.argsort(descending=True, stable=True)
    start = 0
    while start < len(order):
        count = max(1, TOKENS // max(1, int(lengths[order[start]])))
        yield order[start : start + count]
        start += count
