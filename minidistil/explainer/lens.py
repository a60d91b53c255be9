"""What the head would have said of every layer: the logit lens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from minidistil.explainer.answer import Answer
from minidistil.explainer.trace import Trace
from minidistil.pipelines import FUNCTIONS


@dataclass(frozen=True, eq=False)
class Lens:
    """The head, applied to what enters the first block and leaves each.

    Attributes:
        logits: (L + 1, N); the last row is the trace's own.
        probabilities: The model's function of them, (L + 1, N).
    """

    logits: Tensor
    probabilities: Tensor


@torch.no_grad()
def lens(trace: Trace, mask: int = 0) -> Lens:
    """Apply the head to every hidden state of the token that it reads.

    logits_l = head(x_l): for a classifier the ``[CLS]``, for masked LM one ``[MASK]``
    (nostalgebraist 2020, "interpreting GPT: the logit lens"). The head was trained on
    the last layer alone, so an early row tells what it would make of a vector, not
    what the model knows by then.

    Args:
        trace: A trace with an answer.
        mask: Which ``[MASK]`` of the text, counted from 0.

    Raises:
        ValueError: if the trace has no answer.
        IndexError: if there is no such mask.
    """
    answer = Answer(trace, mask)
    before = torch.stack([x[answer.place] for x in trace.hidden_states[:-1]])  # (L, D)
    # The head computes in 32 bits or more, whatever the model does.
    encoder = answer.encoder
    early = answer.from_vectors(before.to(encoder.device, encoder.dtype))
    logits = torch.vstack([early.to(answer.logits.dtype), answer.logits])
    return Lens(logits, FUNCTIONS[answer.function](logits))
