"""What there is to say about a training, for its report and for the card of its result.

It is JSON, but for numbers that are not finite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict


class Rows(TypedDict, total=False):
    """The rows of one role, such as ``train`` or ``dev``.

    Attributes:
        files: Where they come from.
        rows: How many were read.
        labels: How many of them have each label, in the order of the model's labels.
        skipped: Why rows were left out, and how many.
        truncated: How many are longer than the model reads.
    """

    files: Sequence[str]
    rows: int
    labels: Mapping[str, int]
    skipped: Mapping[str, int]
    truncated: int


class Evaluation(TypedDict):
    """What was measured after a step; ``results`` are figures by their names."""

    step: int
    results: Mapping[str, float]


class Best(TypedDict):
    """The evaluation whose weights are kept, and the figure that decided."""

    step: int
    metric: str
    value: float


class Confusion(TypedDict):
    """How often each label, a row, was taken for each label, a column."""

    labels: Sequence[str]
    counts: Sequence[Sequence[int]]


class Details(TypedDict, total=False):
    """More about the best evaluation.

    Attributes:
        confusion: For a task that takes one label.
        per_label: For each label, or kind of entity: its name as ``label``, and figures
            such as ``precision``, ``recall``, ``f1`` and ``support``.

    Any other mapping has the figures of a group of rows, such as ``impossible`` ones.
    """

    confusion: Confusion
    per_label: Sequence[Mapping[str, Any]]


class Mistake(TypedDict, total=False):
    """A row that the model has wrong.

    Attributes:
        text: What a person reads.
        true: What is right: a label, an answer, a number.
        predicted: What the model says.
        score: How sure it is of that, from 0 to 1.
        loss: How wrong that is.
        row: Where the row stands, such as ``"dev.tsv, row 3"``.
    """

    text: str
    true: Any
    predicted: Any
    score: float
    loss: float
    row: Any


class Side(TypedDict, total=False):
    """A teacher or a student: its figures on the same rows, and its size."""

    name: str
    results: Mapping[str, float]
    parameters: int


class Run(TypedDict, total=False):
    """What there is to say about a training; all but the first two may be missing.

    Attributes:
        title: What is trained, for what.
        state: ``running``, ``finished``, ``stopped by patience``, ``diverged`` or
            ``interrupted``.
        note: What a reader should know first, such as where a training has diverged.
        command: What repeats the run.
        recipe: The numbers of `Recipe`.
        defaults: What they are if nobody says more.
        data: By role, ``train`` first.
        log: The lines of `metrics.jsonl`: ``step``, ``epoch``, ``tokens``, ``loss``,
            ``learning_rate``, ``gradient``, ``tokens_per_second``; any other number is
            a term of the loss. Lines with an ``evaluation`` are passed over.
        evaluations: In the order of their steps.
        best: The one that counts.
        details: Of the best one.
        mistakes: The worst first.
        teacher: Of a distillation.
        student: Beside its teacher; its figures are by default those of the best
            evaluation.
        environment: Versions, device, threads, processes, …
        step: The steps that are done.
        steps: All steps.
        seconds: How long it has taken.
    """

    title: str
    state: str
    note: str
    command: str
    recipe: Mapping[str, Any]
    defaults: Mapping[str, Any]
    data: Mapping[str, Rows]
    log: Sequence[Mapping[str, Any]]
    evaluations: Sequence[Evaluation]
    best: Best | None
    details: Details
    mistakes: Sequence[Mistake]
    teacher: Side | None
    student: Side | None
    environment: Mapping[str, Any]
    step: int
    steps: int
    seconds: float
