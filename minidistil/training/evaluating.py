"""How good a model is on a task's rows: sums, and never all logits at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.inputs import checked_before
from minidistil.pipelines.running import as_one_tensor
from minidistil.training.processes import Processes

if TYPE_CHECKING:
    from minidistil.training.measures import Measure
    from minidistil.training.tasks.base import Task

# Of tokens that are computed at once, padding included: 50 MB of base size's vectors.
TOKENS = 16_384


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
                measure.add(rows, logits_of(model, task, rows, device))
    finally:
        model.train(was_training)
    states = processes.gathered(measure.state())
    whole = task.measure()
    for state in states:
        whole.merge(state)
    return whole


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
