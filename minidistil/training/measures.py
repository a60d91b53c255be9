"""What an evaluation adds up: counts and sums, and of them metrics at the end.

    measure = task.measure()             one for each process
    measure.add(rows, logits)            for each pass; the logits are then forgotten
    all.merge(state)                     for the `state` of each process, of `all` new
    all.results()                        {"accuracy": 0.91, "loss": 0.23, …}

Of a corpus of any size only counts are kept. (Of a regression it is a number a row, for
there is no other way to Spearman's correlation.) The results are the same to the last
bit in whatever order rows come, and whichever process has them: so are then the weights
that are found to be best. A row that is counted twice is an error.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from minidistil.training import metrics
from minidistil.training.metrics import Counts

WORST = 50  # mistakes that are kept for a person to read

State = dict[str, Any]  # tensors, numbers, strings, and lists and dicts of them


class Mistake(NamedTuple):
    """A wrong answer.

    Attributes:
        row: Which row it was given to.
        loss: How sure of it the model was: the loss of the right answer.
        true: The right answer.
        predicted: The one that was given.
        place: Of token classification, the token of the row.
    """

    row: int
    loss: float
    true: str
    predicted: str
    place: int | None = None

    @property
    def order(self) -> tuple[float, int]:
        """Sorts the surest first; of as sure ones the earlier row."""
        return (-math.inf if math.isnan(self.loss) else -self.loss), self.row


class Mean:
    """A mean that is the same to the last bit in whatever order its numbers come.

    Sums of floats are rounded at each step, sums of fractions never.
    """

    def __init__(self) -> None:
        """Begin with no number."""
        self._total, self._infinite, self._count = Fraction(), 0.0, 0

    def add(self, numbers: Tensor, count: int | None = None) -> None:
        """Add numbers (n,), which are sums over ``count``, by default over n."""
        for number in numbers.tolist():
            if math.isfinite(number):
                self._total += Fraction(number)
            else:  # infinite, or none at all
                self._infinite += number
        self._count += len(numbers) if count is None else count

    def state(self) -> list[float]:
        """What `merge` takes."""
        return [*self._total.as_integer_ratio(), self._infinite, self._count]

    def merge(self, state: Sequence[Any]) -> None:
        """Add the numbers of another one."""
        above, below, infinite, count = state
        self._total += Fraction(above, below)
        self._infinite += infinite
        self._count += count

    @property
    def value(self) -> float:
        """The mean; NaN of no number."""
        if self._count == 0:
            return math.nan
        return float(self._total / self._count) + self._infinite


class Measure(ABC):
    """How well the rows of a task are answered.

    Attributes:
        metrics: The names of the results; the first says which weights are best, where
            nobody says otherwise. "loss" is the last.
        seen: Which rows were added, (rows,).
        loss: Its mean over all that counts: rows, labels, words.
        counts: What is added up, by a name.
        worst: At most `WORST` mistakes, the surest first, one a row.
        shown: What a person is shown of a row, by name; by default its number, from 0.
    """

    metrics: tuple[str, ...]
    shown: Callable[[int], Mapping[str, Any]] = staticmethod(lambda row: {"row": row})

    def __init__(self, rows: int) -> None:
        """Begin with nothing; ``rows`` is how many the task has."""
        self.seen = torch.zeros(rows, dtype=torch.bool)
        self.loss = Mean()
        self.counts: dict[str, Tensor] = {}
        self.worst: list[Mistake] = []

    def add(self, rows: Tensor, logits: Tensor) -> None:
        """Add some rows.

        Args:
            rows: Which ones, (B,), in any order.
            logits: What the model says of them, on the CPU, (B, …).

        Raises:
            ValueError: if one of the rows was added before.
        """
        if len(rows) != len(logits):
            raise ValueError(
                f"logits are of {len(logits)} rows, expected {len(rows)}, one for each "
                f"row"
            )
        self._see(rows)
        self._add(rows, logits)

    def merge(self, state: State) -> None:
        """Add the rows of another measure of the same task.

        Raises:
            ValueError: if both have one of the rows.
        """
        self._see(state["seen"].nonzero().flatten())
        self.loss.merge(state["loss"])
        for name, counts in state["counts"].items():
            self.counts[name] = self.counts[name] + counts
        self._note(Mistake(*each) for each in state["worst"])

    def state(self) -> State:
        """All that was added, for `merge`."""
        return {
            "seen": self.seen.clone(),
            "loss": self.loss.state(),
            "counts": {name: each.clone() for name, each in self.counts.items()},
            "worst": [[*mistake] for mistake in self.worst],
        }

    def results(self) -> dict[str, float]:
        """The metrics of all rows that were added, by name; NaN is undefined."""
        found = self._figures() | {"loss": self.loss.value}
        return {name: found[name] for name in self.metrics}

    def details(self) -> dict[str, Any]:
        """What a person wants to know beside, for JSON.

        ``worst`` has ``true``, ``predicted`` and ``loss`` of each mistake, and what is
        `shown` of its row.
        """
        worst = [
            {
                name: value
                for name, value in mistake._asdict().items()
                if value is not None
            }
            for mistake in self.worst
        ]
        for each in worst:
            each |= metrics.as_json({"loss": each["loss"]})
            each |= self.shown(each["row"])
        return {"rows": int(self.seen.sum()), **self._tables(), "worst": worst}

    @abstractmethod
    def _add(self, rows: Tensor, logits: Tensor) -> None:
        """Add rows that were not seen before."""

    @abstractmethod
    def _figures(self) -> dict[str, float]:
        """The metrics, but for the loss."""

    def _tables(self) -> dict[str, Any]:
        """The details, but for the mistakes."""
        return {}

    def _see(self, rows: Tensor) -> None:
        again = rows[self.seen[rows]].tolist()
        if again or len(torch.unique(rows)) < len(rows):
            raise ValueError(
                f"{f'row {again[0]}' if again else 'a row'} was counted twice, "
                f"expected each row once"
            )
        self.seen[rows] = True

    def _note(self, mistakes: Iterable[Mistake]) -> None:
        """Keep the surest mistakes, the surest one of each row."""
        surest: dict[int, Mistake] = {}
        for each in sorted([*self.worst, *mistakes], key=lambda each: each.order):
            surest.setdefault(each.row, each)
        self.worst = [*surest.values()][:WORST]

    def _choose(
        self,
        rows: Tensor,
        logits: Tensor,
        labels: Tensor,
        name: Callable[[int], str],
        places: Tensor | None = None,
    ) -> Tensor:
        """Take the best class of each; note its loss, and the mistakes.

        Args:
            rows: The row of each, (n,).
            logits: The scores of C classes, (n, C).
            labels: The right classes, (n,).
            name: Of a class, for a person.
            places: Which token of the row, (n,).

        Returns:
            The best class, (n,).
        """
        found, labels = logits.argmax(dim=-1), labels.long()
        losses = F.cross_entropy(logits.float(), labels, reduction="none")
        self.loss.add(losses)
        wrong = (found != labels).nonzero().flatten()
        columns = rows, losses, labels, found, rows if places is None else places
        self._note(
            Mistake(row, loss, name(true), name(guess), None if places is None else at)
            for row, loss, true, guess, at in zip(
                *(each[wrong].tolist() for each in columns), strict=True
            )
        )
        return found


def confusion(
    real: Tensor | Sequence[int], found: Tensor | Sequence[int], classes: int
) -> Tensor:
    """How often each class was taken for each: real class by found, (C, C) int64."""
    pairs = torch.as_tensor(real, dtype=torch.int64) * classes
    pairs = pairs + torch.as_tensor(found, dtype=torch.int64)
    return pairs.bincount(minlength=classes**2).view(classes, classes)


def share(part: Tensor, whole: Tensor) -> float:
    """One count in proportion to another, both (); NaN of nothing."""
    return int(part) / int(whole) if whole else math.nan


def per_label(names: Sequence[str], counts: Sequence[Counts]) -> list[dict[str, Any]]:
    """A table: precision, recall and F1 of each label, and how often it is right."""
    return [
        {
            "label": name,
            "precision": each.precision,
            "recall": each.recall,
            "f1": each.f1,
            "support": each.real,
        }
        for name, each in zip(names, counts, strict=True)
    ]


def label_tables(names: Sequence[str], confusion: Tensor) -> dict[str, Any]:
    """The details of classes: ``confusion``, its labels and counts, and ``per_label``.

    A row of the counts is what is right, a column what was found.
    """
    return {
        "confusion": {"labels": [*names], "counts": confusion.tolist()},
        "per_label": per_label(names, metrics.counts_of(confusion)),
    }
