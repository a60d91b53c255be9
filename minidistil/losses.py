"""The losses of the five heads: one number for how wrong the logits are.

Shapes use the letters of `minidistil.model`. Without labels there is no loss: None.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from minidistil.config import DistilBertConfig
from minidistil.inputs import check_labels, check_spans, check_targets, check_tensor


def choice_loss(logits: Tensor, labels: Tensor | None) -> Tensor | None:
    """Return the mean cross entropy of (B, C) over the labels (B,)."""
    if labels is None:
        return None
    check_labels("labels", labels, logits.shape[:1], logits.shape[1])
    return F.cross_entropy(logits, labels.long())


def classification_loss(
    config: DistilBertConfig, logits: Tensor, labels: Tensor | None
) -> Tensor | None:
    """Return the mean loss of logits (B, C), by the kind of problem.

    ``config.problem_type`` names it. If it does not, one class means regression,
    integer labels one class per text, and floating point labels any number of classes.

    - regression: squared error; labels (B, C), or (B,) if C is 1.
    - single_label_classification: cross entropy; labels (B,), -100 is left out.
    - multi_label_classification: binary cross entropy; labels (B, C), 0 or 1.
    """
    if labels is None:
        return None
    check_tensor("labels", labels)
    problem = config.problem_type
    if problem is None and config.num_labels == 1:
        problem = "regression"
    elif problem is None:
        floating = labels.is_floating_point()
        problem = f"{'multi' if floating else 'single'}_label_classification"

    if problem == "single_label_classification":
        return choice_loss(logits, labels.flatten())
    if config.num_labels == 1:
        labels = labels.reshape(-1, 1)
    # float64, as made from Python or numpy numbers, would fail on the way back.
    if problem == "regression":
        check_targets("labels", labels, logits.shape)
        return F.mse_loss(logits, labels.to(logits.dtype))
    check_targets("labels", labels, logits.shape, lowest=0.0, highest=1.0)
    return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))


def token_loss(logits: Tensor, labels: Tensor | None) -> Tensor | None:
    """Return the mean cross entropy of (B, T, C) over the labels that are not -100."""
    if labels is None:
        return None
    check_labels("labels", labels, logits.shape[:2], logits.shape[2])
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten().long())


def span_loss(
    start_logits: Tensor, end_logits: Tensor, start: Tensor | None, end: Tensor | None
) -> Tensor | None:
    """Return the mean cross entropy of both ends; None if no positions are given."""
    batch, tokens = start_logits.shape
    spans = check_spans(start, end, batch, tokens)
    if spans is None:
        return None
    start_loss, end_loss = (
        F.cross_entropy(logits, positions, ignore_index=tokens)
        for logits, positions in zip((start_logits, end_logits), spans, strict=True)
    )
    return (start_loss + end_loss) / 2
