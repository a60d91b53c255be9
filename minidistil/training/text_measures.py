"""What is added up of texts: of their labels, their numbers, their hidden words.

Those of the words of a text are in `entities`, those of questions in `answers`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from minidistil.training import metrics
from minidistil.training.measures import (
    Measure,
    Mistake,
    State,
    confusion,
    label_tables,
    per_label,
    share,
)
from minidistil.training.metrics import Counts


class LabelMeasure(Measure):
    """Of texts with one label each.

    Metrics: accuracy; with two labels, F1 of the second; macro F1 of the labels that
    occur; Matthews' correlation.
    """

    def __init__(self, names: Sequence[str], labels: Tensor) -> None:
        """Take the names of the C labels, and the right one of each row, (rows,)."""
        super().__init__(len(labels))
        self.names, self.labels = [*names], labels
        self.counts["confusion"] = confusion([], [], len(names))
        binary = ("f1",) if len(names) == 2 else ()
        self.metrics = ("accuracy", *binary, "f1_macro", "matthews", "loss")

    def _add(self, rows: Tensor, logits: Tensor) -> None:
        labels = self.labels[rows]
        found = self._choose(rows, logits, labels, self.names.__getitem__)
        self.counts["confusion"] += confusion(labels, found, len(self.names))

    def _figures(self) -> dict[str, float]:
        matrix = self.counts["confusion"]
        counts = metrics.counts_of(matrix)
        return {
            "accuracy": metrics.accuracy(matrix),
            "f1": counts[-1].f1,
            "f1_macro": metrics.macro_f1([each for each in counts if each.occurs]),
            "matthews": metrics.matthews(matrix),
        }

    def _tables(self) -> dict[str, Any]:
        return label_tables(self.names, self.counts["confusion"])


class ChoiceMeasure(Measure):
    """Of groups of choices, one of which is right; a choice is no class: accuracy."""

    metrics = ("accuracy", "loss")

    def __init__(self, labels: Tensor, choices: Tensor) -> None:
        """Take the right choice of each group, from 0, and how many it has, (groups,).

        Logits of more choices than a group has are passed over.
        """
        super().__init__(len(labels))
        self.labels, self.choices = labels, choices
        self.counts["right"] = torch.zeros((), dtype=torch.int64)

    def _add(self, rows: Tensor, logits: Tensor) -> None:
        labels = self.labels[rows]
        is_none = torch.arange(logits.shape[1]) >= self.choices[rows, None]
        logits = logits.masked_fill(is_none, -math.inf)
        found = self._choose(rows, logits, labels, lambda choice: str(choice + 1))
        self.counts["right"] += (found == labels).sum()

    def _figures(self) -> dict[str, float]:
        return {"accuracy": share(self.counts["right"], self.seen.sum())}


class SeveralLabelsMeasure(Measure):
    """Of texts with any number of labels; one is given where its logit is above 0.

    Metrics: F1 micro and macro over all labels; accuracy, the share of texts all of
    whose labels are right.
    """

    metrics = ("f1_micro", "f1_macro", "accuracy", "loss")

    def __init__(self, names: Sequence[str], labels: Tensor) -> None:
        """Take the names of the C labels, and 0 or 1 for each, (rows, C)."""
        super().__init__(len(labels))
        self.names, self.labels = [*names], labels
        self.counts["labels"] = torch.zeros(len(names), 3, dtype=torch.int64)
        self.counts["right"] = torch.zeros((), dtype=torch.int64)

    def _add(self, rows: Tensor, logits: Tensor) -> None:
        real, found = self.labels[rows] > 0.5, logits > 0
        sums = [each.sum(dim=0) for each in (real & found, found, real)]
        self.counts["labels"] += torch.stack(sums, dim=1)
        losses = F.binary_cross_entropy_with_logits(
            logits.float(), real.float(), reduction="none"
        )
        self.loss.add(losses.flatten())
        right = (real == found).all(dim=1)
        self.counts["right"] += right.sum()
        self._note(
            Mistake(
                int(rows[i]),
                float(losses[i].mean()),
                self._listed(real[i]),
                self._listed(found[i]),
            )
            for i in (~right).nonzero().flatten().tolist()
        )

    def _listed(self, chosen: Tensor) -> str:
        places = chosen.nonzero().flatten().tolist()
        return ", ".join(self.names[place] for place in places)

    def _figures(self) -> dict[str, float]:
        counts = [Counts(*each) for each in self.counts["labels"].tolist()]
        return {
            "f1_micro": metrics.total(counts).f1,
            "f1_macro": metrics.macro_f1(counts),
            "accuracy": share(self.counts["right"], self.seen.sum()),
        }

    def _tables(self) -> dict[str, Any]:
        counts = [Counts(*each) for each in self.counts["labels"].tolist()]
        return {"per_label": per_label(self.names, counts)}


class RegressionMeasure(Measure):
    """Of texts with a number each, or with C numbers.

    Metrics: Pearson's and Spearman's correlation, of several numbers their mean; the
    loss is the mean squared error.
    """

    metrics = ("pearson", "spearman", "loss")

    def __init__(self, wanted: Tensor) -> None:
        """Take the right numbers, (rows,) or (rows, C)."""
        super().__init__(len(wanted))
        self.wanted = wanted.reshape(len(wanted), -1)
        self.found = torch.zeros(self.wanted.shape)

    def merge(self, state: State) -> None:
        """Add the rows of another measure of the same task; see `Measure`."""
        super().merge(state)
        self.found = torch.where(state["seen"][:, None], state["found"], self.found)

    def state(self) -> State:
        """All that was added, for `merge`."""
        return super().state() | {"found": self.found}

    def _add(self, rows: Tensor, logits: Tensor) -> None:
        found, wanted = logits.float().view(len(rows), -1), self.wanted[rows]
        self.found[rows] = found
        losses = (found.double() - wanted.double()).square()
        self.loss.add(losses.flatten())
        self._note(
            Mistake(row, loss, _shown(true), _shown(guess))
            for row, loss, true, guess in zip(
                rows.tolist(),
                losses.mean(dim=1).tolist(),
                wanted.tolist(),
                found.tolist(),
                strict=True,
            )
        )

    def _figures(self) -> dict[str, float]:
        pairs = [
            (found[self.seen], wanted[self.seen])
            for found, wanted in zip(self.found.T, self.wanted.T, strict=True)
        ]
        return {
            "pearson": sum(metrics.pearson(*pair) for pair in pairs) / len(pairs),
            "spearman": sum(metrics.spearman(*pair) for pair in pairs) / len(pairs),
        }


class MaskedMeasure(Measure):
    """Of texts whose hidden words are guessed.

    Metrics: perplexity, and the accuracy of the guesses.
    """

    metrics = ("perplexity", "accuracy", "loss")

    def __init__(self, rows: int) -> None:
        """Take how many rows there are.

        In place of logits, of which there would be 30,522 for each word, `add` takes
        sums of each row, (B, 3): the loss, the hidden words, those guessed right.
        """
        super().__init__(rows)
        self.counts["words"] = torch.zeros(2, dtype=torch.int64)

    def _add(self, rows: Tensor, logits: Tensor) -> None:
        words = logits[:, 1:].long().sum(dim=0)
        self.loss.add(logits[:, 0], int(words[0]))
        self.counts["words"] += words

    def _figures(self) -> dict[str, float]:
        hidden, right = self.counts["words"]
        return {
            "perplexity": metrics.perplexity(self.loss.value),
            "accuracy": share(right, hidden),
        }


def _shown(numbers: Sequence[float]) -> str:
    """The numbers of a row, for a person."""
    return ", ".join(f"{number:.4g}" for number in numbers)
