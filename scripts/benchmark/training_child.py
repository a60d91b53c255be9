"""Train in a process of its own, and time the steps; JSON is the last line of output.

    python scripts/benchmark/training_child.py JOB

The file of JSON is what training_runs.py writes: a `Job`. Nobody's library is imported
here but that of who trains, so that the memory is theirs.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import click
from contestant import Place
from launch import UNIT

TEXTS = ("sentence", "text")  # what a column of texts is called


@dataclass(frozen=True)
class Job:
    """What is trained, and how.

    Attributes:
        who: A key of `TRAINERS`.
        model: A folder: the model, or the teacher.
        rows: A file of so many rows that one epoch has so many steps.
        folder: Where the result goes; it is not there yet.
        steps: All of them.
        warm_up: The first ones, which are not timed.
        batch_size: The rows of a step.
        precision: "float32" or "bfloat16".
        device: "cpu" or "cuda".
        threads: Those of torch.
        pass_rows: The rows that are computed at once, of a distillation.
    """

    who: str
    model: str
    rows: str
    folder: str
    steps: int
    warm_up: int
    batch_size: int
    precision: str
    device: str
    threads: int
    pass_rows: int | None = None


@dataclass
class Clock:
    """What happens during a training.

    Attributes:
        place: The device that is waited for before the time is taken.
        warm_up: The step after which the clock starts.
        steps: That after which it stops.
        before: The peak of memory when the first step begins, in bytes.
        times: When the clock started and stopped, in seconds.
        worked: The CPU's seconds until then, of all threads.
    """

    place: Place
    warm_up: int
    steps: int
    before: int = 0
    times: list[float] = field(default_factory=list)
    worked: list[float] = field(default_factory=list)

    def begin(self) -> None:
        """Note the memory before the first step."""
        self.before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT

    def done(self, step: int) -> None:
        """Start or stop after a step."""
        if step in (self.warm_up, self.steps):
            self.place.wait()
            self.times.append(time.perf_counter())
            self.worked.append(time.process_time())


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(file: Path) -> None:
    """Train."""
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # Trainer would take them all
    job = Job(**json.loads(file.read_text(encoding="utf-8")))
    click.echo("\n" + json.dumps(measure(job)))


def measure(job: Job) -> dict[str, Any]:
    """Train, and time the steps after the warm-up.

    Returns:
        ``seconds`` of the timed steps, ``worked``, those of the CPU in all threads, and
        ``tokens``, padding not counted; ``all_tokens`` of all steps; in bytes,
        ``before``, the peak of memory before the first step, and ``card``, the GPU's;
        ``loss``, the mean over all steps.
    """
    import torch

    torch.set_num_threads(job.threads)
    clock = Clock(Place(job.device, job.threads), job.warm_up, job.steps)
    tokens, loss = TRAINERS[job.who](job, clock)  # of each step; of all
    if len(tokens) != job.steps or len(clock.times) != 2:
        raise RuntimeError(f"took {len(tokens)} steps, expected {job.steps}")
    return {
        "seconds": clock.times[1] - clock.times[0],
        "worked": clock.worked[1] - clock.worked[0],
        "tokens": sum(tokens[job.warm_up :]),
        "all_tokens": sum(tokens),
        "before": clock.before,
        "card": torch.cuda.max_memory_allocated() if clock.place.is_gpu else 0,
        "loss": loss,
    }


def ours(job: Job, clock: Clock) -> tuple[list[int], float]:
    """`train` with the numbers of Trainer's defaults, where they differ from ours."""
    from minidistil import train

    return _log_of(train, job, clock, warm_up=0.0, weight_decay=0.0)


def distillation(job: Job, clock: Clock) -> tuple[list[int], float]:
    """`distil` with the published recipe, but for the size of a step."""
    from minidistil import distil

    changes = {"recipe": "distilbert", "pass_rows": job.pass_rows}
    return _log_of(distil, job, clock, **changes)


def _log_of(
    learn: Any, job: Job, clock: Clock, **changes: Any
) -> tuple[list[int], float]:
    from minidistil.training.loop import Training

    lines: list[dict[str, Any]] = []
    steps = Training.steps

    def noted(training: Training) -> Iterator[int]:
        clock.begin()
        yield from steps(training)

    def report(line: dict[str, Any]) -> None:
        lines.append(line)
        clock.done(line["step"])

    with mock.patch.object(Training, "steps", noted):
        learn(
            *(job.model, job.rows, None, job.folder),
            device=job.device,
            report=report,
            epochs=1,
            batch_size=job.batch_size,
            precision=job.precision,
            **changes,
        )
    ends = [0, *(line["tokens"] for line in lines)]
    tokens = [end - start for start, end in pairwise(ends)]
    return tokens, sum(line["loss"] for line in lines) / len(lines)


def trainer(job: Job, clock: Clock, **options: Any) -> tuple[list[int], float]:
    """Trainer of transformers with its defaults, and other options."""
    from transformers import (
        AutoTokenizer,
        DataCollatorWithPadding,
        DistilBertForSequenceClassification,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    tokenizer = AutoTokenizer.from_pretrained(job.model)
    texts, labels = _rows(Path(job.rows))
    names = sorted({*labels})
    encoded = tokenizer(texts, truncation=True)
    rows = [
        {"input_ids": ids, "attention_mask": mask, "label": names.index(label)}
        for ids, mask, label in zip(
            encoded["input_ids"], encoded["attention_mask"], labels, strict=True
        )
    ]
    pad = DataCollatorWithPadding(tokenizer)
    tokens: list[int] = []

    def collate(some: list[dict[str, Any]]) -> Any:
        # Batches are made in the order in which they are learnt from.
        tokens.append(sum(len(row["input_ids"]) for row in some))
        return pad(some)

    class Noted(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            clock.begin()

        def on_step_end(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
            clock.done(state.global_step)

    arguments = TrainingArguments(
        job.folder,
        num_train_epochs=1,
        per_device_train_batch_size=job.batch_size,
        bf16=job.precision == "bfloat16",
        use_cpu=job.device == "cpu",
        disable_tqdm=True,
        **options,
    )
    learning = Trainer(
        DistilBertForSequenceClassification.from_pretrained(
            job.model, num_labels=len(names)
        ),
        arguments,
        data_collator=collate,
        train_dataset=rows,
        processing_class=tokenizer,
        callbacks=[Noted()],
    )
    return tokens, learning.train().training_loss


def _rows(path: Path) -> tuple[list[str], list[str]]:
    """The texts and the labels of a table."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file, delimiter="\t")]
    column = next(name for name in TEXTS if name in rows[0])
    return [row[column] for row in rows], [row["label"] for row in rows]


def grouped(job: Job, clock: Clock) -> tuple[list[int], float]:
    """The same, with rows of like length together."""
    from dataclasses import fields

    from transformers import TrainingArguments

    known = {each.name for each in fields(TrainingArguments)}
    if "train_sampling_strategy" in known:  # since transformers 5
        return trainer(job, clock, train_sampling_strategy="group_by_length")
    return trainer(job, clock, group_by_length=True)


TRAINERS = {
    "minidistil": ours,
    "Trainer": trainer,
    "Trainer, by length": grouped,
    "distil": distillation,
}


if __name__ == "__main__":
    main()
