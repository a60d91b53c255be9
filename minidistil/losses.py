"""The losses of the five heads: one number for how wrong the logits are.

Shapes use the letters of `minidistil.model`. Without labels there is no loss: None.

A loss is a mean. Where a batch is only a part of the one that a step learns from
(gradient accumulation), ``num_items_in_batch`` is the number of labels in all parts:
the losses of the parts then add up to the loss of the whole.

A batch whose labels are all ignored has no mean. In training its loss is 0, with a
warning; otherwise it is an error.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from minidistil.config import DistilBertConfig
from minidistil.inputs import (
    check_labels,
    check_spans,
    check_targets,
    check_tensor,
    is_true,
)


def label_loss(
    logits: Tensor,
    labels: Tensor | None,
    num_items_in_batch: Tensor | int | None = None,
    training: bool = False,
) -> Tensor | None:
    """Return the mean cross entropy of logits (…, C) over the labels (…) not -100."""
    if labels is None:
        return None
    return _cross_entropy("labels", logits, labels, -100, num_items_in_batch, training)


def kind_of_problem(config: DistilBertConfig, labels: Tensor | None) -> str | None:
    """Return what the labels of whole texts are; None without labels.

    ``config.problem_type`` names it. If it does not, one class means regression,
    integer labels one class per text, and floating point labels any number of classes.
    """
    if labels is None or config.problem_type is not None:
        return config.problem_type
    check_tensor("labels", labels)
    if config.num_labels == 1:
        return "regression"
    several = labels.is_floating_point()
    return f"{'multi' if several else 'single'}_label_classification"


def classification_loss(
    config: DistilBertConfig,
    logits: Tensor,
    labels: Tensor | None,
    num_items_in_batch: Tensor | int | None = None,
    training: bool = False,
) -> Tensor | None:
    """Return the mean loss of logits (B, C), by the kind of problem.

    - regression: squared error; labels (B, C), or (B,) if C is 1.
    - single_label_classification: cross entropy; labels (B,), -100 is left out.
    - multi_label_classification: binary cross entropy; labels (B, C), 0 or 1.
    """
    if labels is None:
        return None
    check_tensor("labels", labels)
    problem = kind_of_problem(config, labels)
    if problem == "single_label_classification":
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        return label_loss(logits, labels, num_items_in_batch, training)
    if config.num_labels == 1:
        labels = labels.reshape(-1, 1)
    # Integers are numbers, too; and float64 would fail on the way back.
    labels = labels.to(logits.dtype)
    if problem == "regression":
        check_targets("labels", labels, logits.shape)
        losses = F.mse_loss(logits, labels, reduction="none")
    else:
        check_targets("labels", labels, logits.shape, lowest=0.0, highest=1.0)
        losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    items = _as_tensor(num_items_in_batch, logits)
    return losses.mean() if items is None else losses.sum() / items


def span_loss(
    start_logits: Tensor,
    end_logits: Tensor,
    start: Tensor | None,
    end: Tensor | None,
    num_items_in_batch: Tensor | int | None = None,
    training: bool = False,
) -> Tensor | None:
    """Return the mean cross entropy of both ends, by logits (B, T) and places (B,)."""
    batch, tokens = start_logits.shape
    spans = check_spans(start, end, batch, tokens)
    if spans is None:
        return None
    start, end = spans
    options = (tokens, num_items_in_batch, training)
    start_loss = _cross_entropy("start_positions", start_logits, start, *options)
    end_loss = _cross_entropy("end_positions", end_logits, end, *options)
    return (start_loss + end_loss) / 2


def _cross_entropy(
    name: str,
    logits: Tensor,
    labels: Tensor,
    ignored: int,
    num_items_in_batch: Tensor | int | None,
    training: bool,
) -> Tensor:
    """The mean cross entropy over the labels that are not ``ignored``.

    Args:
        name: What errors call the labels.
        logits: The scores of C classes, (…, C).
        labels: The right classes, (…).
        ignored: The label that does not count.
        num_items_in_batch: How many labels count, if these are a part of a batch.
        training: Whether a batch without any is a warning, not an error.
    """
    items = _as_tensor(num_items_in_batch, logits)
    shape, classes = tuple(logits.shape[:-1]), logits.shape[-1]
    labels = check_labels(name, labels, shape, classes, ignored, items, training)
    scores, right = logits.reshape(-1, classes), labels.flatten()
    counted = (right != ignored).sum()
    if items is None and is_true(counted > 0):
        return F.cross_entropy(scores, right, ignore_index=ignored)
    # The mean of nothing would be nan; the sum of nothing, divided by 1, is 0.
    total = F.cross_entropy(scores, right, ignore_index=ignored, reduction="sum")
    return total / (counted if items is None else items).clamp(min=1)


def _as_tensor(count: Tensor | int | None, logits: Tensor) -> Tensor | None:
    """A count (), on the device of the logits."""
    if count is None:
        return None
    # nn.DataParallel gives each device a count of shape (1, 1).
    return torch.as_tensor(count, device=logits.device).reshape(())
