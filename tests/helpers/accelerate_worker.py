"""Train with accelerate in two processes that speak gloo; write what each has seen.

    python tests/helpers/accelerate_worker.py LIBRARY CHECKPOINT RESULTS

It is no test itself: gloo opens sockets, and processes are forked.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, debug_launcher
from torch.optim import SGD
from torch.utils.data import DataLoader

BATCH, STEPS = 2, 3
ROWS = BATCH * 2 * STEPS


def data(vocabulary: int, rows: int = ROWS) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, vocabulary, (rows, 9), generator=generator)
    mask = torch.ones_like(ids)
    mask[::2, 6:] = 0
    return [
        {
            "input_ids": ids[row],
            "attention_mask": mask[row],
            "labels": torch.tensor(row % 3),
        }
        for row in range(rows)
    ]


def train(library: Any, checkpoint: str, batch_size: int) -> dict[str, Any]:
    """Train a classifier for some steps, then evaluate it on rows that do not divide.

    The losses are those of all processes' rows together.
    """
    accelerator = Accelerator(cpu=True)
    model = library.AutoModelForSequenceClassification.from_pretrained(checkpoint)
    rows = data(model.config.vocab_size)
    loader = DataLoader(rows, batch_size=batch_size)
    evaluation = DataLoader(rows[:-1], batch_size=batch_size)
    optimizer = SGD(model.parameters(), lr=0.05)
    model, optimizer, loader, evaluation = accelerator.prepare(
        model, optimizer, loader, evaluation
    )
    model.train()
    losses = []
    for batch in loader:
        loss = model(**batch).loss
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(accelerator.gather(loss.detach()[None]).mean().item())
    model.eval()
    logits, labels = [], []
    for batch in evaluation:
        with torch.no_grad():
            outputs = model(**batch)
        found = accelerator.gather_for_metrics((outputs.logits, batch["labels"]))
        logits.append(found[0])
        labels.append(found[1])
    return {
        "processes": accelerator.num_processes,
        "losses": losses,
        "logits": torch.cat(logits),
        "labels": torch.cat(labels),
        "parameters": dict(accelerator.get_state_dict(model)),
        "class": type(accelerator.unwrap_model(model)).__name__,
    }


def one_of_two(library: str, checkpoint: str, results: str) -> None:
    torch.set_num_threads(1)
    found = train(importlib.import_module(library), checkpoint, BATCH)
    rank = torch.distributed.get_rank()
    torch.save(found, Path(results) / f"{library}-{rank}.pt")


if __name__ == "__main__":
    debug_launcher(one_of_two, tuple(sys.argv[1:]), num_processes=2)
