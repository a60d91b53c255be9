"""What the head predicts from the vectors of every layer: the logit lens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from minidistil.explainer.prediction import Prediction
from minidistil.explainer.trace import Record
from minidistil.pipelines import FUNCTIONS


@dataclass(frozen=True, eq=False)
class Lens:
    """The head, applied to what enters the first layer and leaves each.

    C is the number of labels; where the model predicts words, of the vocabulary.

    Attributes:
        logits: What the head makes of its token's vector before the first layer and
            after each, (L + 1, C).
        probabilities: The model's function of the logits, (L + 1, C).
    """

    logits: Tensor
    probabilities: Tensor


@torch.no_grad()
def lens(trace: Record, mask: int = 0) -> Lens:
    """Apply the head to every hidden state of the token that it reads.

    logits_l = head(x_l): for a classifier the ``[CLS]``, for masked LM one ``[MASK]``
    (nostalgebraist 2020, "interpreting GPT: the logit lens"). The last row is the
    trace's own. The head was trained on the last layer alone, so an early row shows
    what the head makes of a vector, not what the model knows by then.

    Args:
        trace: A trace whose head is shown.
        mask: Which ``[MASK]`` of the text, counted from 0.

    Raises:
        ValueError: if the trace shows no head.
        IndexError: if there is no such mask.
    """
    own = Prediction(trace, mask)
    before = torch.stack([x[own.position] for x in trace.hidden_states[:-1]])  # (L, D)
    # The head computes in 32 bits or more, whatever the model does.
    early = own.from_vectors(before.to(own.encoder.device, own.encoder.dtype))
    logits = torch.vstack([early.to(own.logits.dtype), own.logits])
    return Lens(logits, FUNCTIONS[own.function](logits))
