"""How good answers are: numbers made of counts, by their usual names.

    right      of a class, the rows that are of it and were found       true positives
    found      the rows that were said to be of it            true and false positives
    real       the rows that are of it                        true positives and misses

All are shares of 1, not of 100. Who divides by nothing gets what scikit-learn gives:
0 for precision, recall, F1 and Matthews; NaN, "undefined", for a correlation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minidistil.messages import quote

# Of these less is better, of all others more.
LESS_IS_BETTER = frozenset({"loss", "perplexity"})


class Counts(NamedTuple):
    """What precision and recall of one class are made of; see the top of the file."""

    right: int
    found: int
    real: int

    @property
    def precision(self) -> float:
        """How many of those that were found are right."""
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """How many of those that are real were found."""
        return self.right / self.real if self.real else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of the two."""
        both = self.found + self.real
        return 2 * self.right / both if both else 0.0

    @property
    def occurs(self) -> bool:
        """Whether any row is of the class, or was said to be."""
        return self.found + self.real > 0


def total(counts: Iterable[Counts]) -> Counts:
    """The counts of several classes together: their F1 is called micro."""
    return Counts(*map(sum, zip((0, 0, 0), *counts, strict=True)))


def macro_f1(counts: Sequence[Counts]) -> float:
    """The mean F1 of classes, a rare one as important as a frequent one.

    NaN of no class at all. Of rows with one label each, scikit-learn takes the classes
    that occur (`Counts.occurs`); of rows with several labels, all.
    """
    return sum(each.f1 for each in counts) / len(counts) if counts else math.nan


def counts_of(confusion: Tensor) -> list[Counts]:
    """The counts of each class, from a confusion matrix (C, C): real class by found."""
    found, real = confusion.sum(dim=0).tolist(), confusion.sum(dim=1).tolist()
    return [
        *map(Counts, confusion.diagonal().tolist(), found, real),
    ]


def accuracy(confusion: Tensor) -> float:
    """The share of right answers, from a confusion matrix (C, C); NaN of no row."""
    rows = int(confusion.sum())
    return int(confusion.diagonal().sum()) / rows if rows else math.nan


def matthews(confusion: Tensor) -> float:
    """Matthews' correlation of real and found classes, from -1 to 1; (C, C).

    0 is what one gets by chance, or by always giving the same answer. For more than
    two classes it is Gorodkin's R_K (2004, doi:10.1016/j.compbiolchem.2004.09.006).
    """
    classes = counts_of(confusion)
    rows = sum(each.real for each in classes)
    right = sum(each.right for each in classes)
    # Of Python's integers, which are exact however many rows there are.
    together = rows * right - sum(each.found * each.real for each in classes)
    found = rows**2 - sum(each.found**2 for each in classes)
    real = rows**2 - sum(each.real**2 for each in classes)
    return together / math.sqrt(found * real) if found and real else 0.0


def pearson(found: Tensor, wanted: Tensor) -> float:
    """Pearson's correlation of numbers (N,), from -1 to 1: do they lie on a line?

    NaN, undefined, for less than two rows, for numbers that are all the same, and
    where a number is not finite.
    """
    x, y = found.double(), wanted.double()
    # Rounding of the mean would make a correlation of numbers that are all the same.
    if len(x) < 2 or (x == x[0]).all() or (y == y[0]).all():
        return math.nan
    x, y = _direction(x), _direction(y)
    return float((x @ y).clamp(-1.0, 1.0))


def _direction(x: Tensor) -> Tensor:
    """Numbers (N,) with mean 0 and norm 1; NaN where one is not finite."""
    x = x - x.mean()
    x = x / x.abs().amax()  # squares of large or small numbers leave float64
    unit: Tensor = x / x.norm()
    return unit


def spearman(found: Tensor, wanted: Tensor) -> float:
    """Spearman's correlation of numbers (N,), from -1 to 1: are they ordered alike?

    Pearson's of their ranks. NaN as there, but infinite numbers have ranks too.
    """
    if found.isnan().any() or wanted.isnan().any():
        return math.nan
    return pearson(ranks(found), ranks(wanted))


def ranks(numbers: Tensor) -> Tensor:
    """The place of each in the order of all, from 1, (N,) float64.

    Equal numbers share the mean of their places.
    """
    _, group, sizes = torch.unique(numbers, return_inverse=True, return_counts=True)
    last = sizes.cumsum(dim=0).double()
    means: Tensor = last - (sizes - 1) / 2
    return means[group]


def perplexity(loss: float) -> float:
    """Among how many words, all as likely, a model is undecided: e to the mean loss."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def check_metric(name: str | None, known: Sequence[str]) -> str:
    """The metric that decides which weights are best: by default the first of a task.

    Raises:
        ValueError: for a metric that the task does not have.
    """
    if name is None:
        return known[0]
    if name not in known:
        raise ValueError(
            f"metric is {quote(name)}, expected one that these data have: "
            f"{', '.join(known)}"
        )
    return name


def is_better(name: str, new: float, old: float | None) -> bool:
    """Whether ``new`` is a better value of a metric than the best one till now.

    None: there was none. NaN is never better, and every number is better than NaN.
    """
    if math.isnan(new):
        return False
    if old is None or math.isnan(old):
        return True
    return new < old if name in LESS_IS_BETTER else new > old


def as_json(results: Mapping[str, float]) -> dict[str, Any]:
    """Results as JSON can hold them: what is not finite is null there."""
    return {
        name: value if math.isfinite(value) else None for name, value in results.items()
    }
