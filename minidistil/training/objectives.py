"""What a student is asked for: four numbers for how wrong it is.

    hard         the label that is written down
    masked LM    the word that was hidden: the same formula, over the vocabulary
    soft         what the teacher thinks of every answer, not only of the best one
    cosine       the direction of the teacher's last vectors

DistilBERT was trained with the last three, in the proportion 5 soft, 2 masked LM, 1
cosine (Sanh et al. 2019, arXiv:1910.01108, section 3; the weights are the author's, in
transformers' issue 2013).

Each function gives a *sum*. A step may be computed in several passes and by several
processes, and a mean of means is no mean: only who knows the number of all labels of a
step can divide by it (`loop`).

    N  rows or tokens that count     C  classes, or words of the vocabulary
    D  model dimension
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

IGNORED = -100  # a label that does not count

# The rows of a vocabulary product that are there at once: 512 x 30,522 numbers of
# float32 are 62 MB.
CHUNK = 512


def hard_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of logits (N, C) and the right classes (N,); its sum, ().

    - log softmax(logits)[label], for each row whose label is not `IGNORED`.
    """
    return F.cross_entropy(
        logits.float(), labels, ignore_index=IGNORED, reduction="sum"
    )


def soft_loss(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence from a teacher's answers, (N, C) both; its sum, ().

    T² Σ p (log p - log q), with p and q the softmax of the teacher's and the student's
    logits divided by T. A temperature above 1 shows what the teacher thinks of the
    unlikely answers. T² keeps the gradients as large as those of the hard loss when T
    changes (Hinton et al. 2015, arXiv:1503.02531, section 2).
    """
    log_q = F.log_softmax(logits.float() / temperature, dim=-1)
    log_p = F.log_softmax(teacher.float() / temperature, dim=-1)
    loss = F.kl_div(log_q, log_p, reduction="sum", log_target=True)
    return loss * temperature**2


def cosine_loss(states: Tensor, teacher: Tensor) -> Tensor:
    """1 - the cosine of each two vectors, (N, D) both; the sum, ().

    How long a vector is does not matter, only where it points.
    """
    return (1 - F.cosine_similarity(states.float(), teacher.float(), dim=-1)).sum()


def squared_loss(predicted: Tensor, wanted: Tensor) -> Tensor:
    """(predicted - wanted)² of a regression, (N, C) both; the sum, ()."""
    return F.mse_loss(predicted.float(), wanted.float(), reduction="sum")


def several_labels_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross entropy of logits (N, C) and 0 or 1 for each label; the sum, ()."""
    return F.binary_cross_entropy_with_logits(
        logits.float(), labels.float(), reduction="sum"
    )


def in_chunks(
    losses: Callable[..., tuple[Tensor, ...]], *rows: Tensor
) -> tuple[Tensor, ...]:
    """Sum losses of many rows without the logits of all of them in memory.

    A vocabulary of 30,522 words makes a megabyte of logits of 9 tokens. They are
    computed for `CHUNK` rows, forgotten, and computed again on the way back.

    Args:
        losses: From some rows of each tensor to one or more sums, ().
        rows: Tensors (N, …) that belong together.
    """
    totals: tuple[Tensor, ...] | None = None
    for some in zip(*(torch.split(each, CHUNK) for each in rows), strict=True):
        # Nothing is drawn in it, so that no state of random numbers has to be kept.
        found = checkpoint(losses, *some, use_reentrant=False, preserve_rng_state=False)
        totals = found if totals is None else tuple(map(torch.add, totals, found))
    return totals if totals is not None else losses(*rows)
