"""The prediction that is explained, and how to make it again from changed vectors."""

from __future__ import annotations

import operator
from typing import Any, SupportsIndex

import torch
from torch import Tensor, nn

from minidistil.explainer.trace import MaskedLMTrace, Record
from minidistil.explainer.twin import frozen_twin
from minidistil.messages import quote
from minidistil.model import DistilBertModel
from minidistil.outputs import BaseModelOutput

# Tokens in one batch of changed inputs: it bounds the memory, and changes no result.
TOKENS_AT_ONCE = 1024


# Whatever the caller has made torch's default.
FLOAT32: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}
FLOAT64: dict[str, Any] = {"dtype": torch.float64, "device": "cpu"}


class Prediction:
    """C logits: of a classifier's labels, or of the words for one ``[MASK]``.

    Attributes:
        encoder: A `frozen_twin` of the trace's encoder.
        ids: What the encoder read, (1, T).
        attend: Where it read, (1, T); False at padding.
        position: The position of the token that the head reads.
        logits: The trace's own logits, (C,).
        function: What makes probabilities of logits, one of `pipelines.FUNCTIONS`.
        probabilities: The trace's own probabilities, (C,).
    """

    def __init__(self, trace: Record, mask: int) -> None:
        """Take a trace's prediction, for masked LM that of one of the masks.

        Raises:
            ValueError: if the trace shows no head.
            IndexError: if there is no such mask.
        """
        if trace.head is None:
            raise ValueError(f"there is no answer to explain: {trace.not_shown}")
        self._trace = trace
        if isinstance(trace.head, MaskedLMTrace):
            what = "the number of a [MASK] in the text"
            mask = in_range("mask", mask, len(trace.head.masks), what)
            self.position = trace.head.masks[mask]
            self.logits = trace.head.logits[mask]
            self.function = "softmax"
            self.probabilities = trace.head.probabilities[mask]
        else:
            in_range("mask", mask, 1, "a classifier gives one answer")
            self.position = 0
            self.logits = trace.head.logits
            self.function = trace.head.function
            self.probabilities = trace.head.probabilities
        self._head = frozen_twin(trace.subject.model)
        self.encoder: DistilBertModel = self._head.encoder
        # Nobody asks for the attention weights here.
        self.encoder.attn_implementation = "sdpa"
        # The head's own forward pass stays: this hands it the encoder's result.
        self._head.distilbert = _PassThrough()
        device = trace.subject.model.device
        self.ids = torch.tensor([[token.id for token in trace.tokens]], device=device)
        self.attend = torch.tensor(
            [[token.attend for token in trace.tokens]], device=device
        )

    def from_vectors(self, x: Tensor) -> Tensor:
        """The head's logits (R, C) for R vectors (R, D) of the token it reads.

        They are on the CPU, like the trace's own.
        """
        out = self._head(x[:, None], return_dict=True)
        logits: Tensor = out.logits  # (R, C) or (R, 1, C)
        return logits.flatten(1).cpu()

    def index_of(self, target: SupportsIndex | str | None) -> int:
        """The index of a label or word; of the most probable one for None.

        Raises:
            ValueError: for a name that no answer has, or several have.
            IndexError: for an index out of range.
        """
        if target is None:
            return int(self.probabilities.argmax())
        if isinstance(target, str):
            target = self._index_of_name(target)
        return in_range("target", target, len(self.logits), "the number of an answer")

    def _index_of_name(self, name: str) -> int:
        subject = self._trace.subject
        if isinstance(self._trace.head, MaskedLMTrace):
            names = {i: token for token, i in subject.tokenizer.get_vocab().items()}
            known = "one token of the vocabulary"
        else:
            # Not label2id: it may differ, and the labels that are shown are these.
            names = subject.model.config.id2label
            known = f"one of {', '.join(names.values())}"
        indices = [index for index, each in names.items() if each == name]
        if not indices:
            raise ValueError(f"there is no answer {name!r}, expected {known}")
        if len(indices) > 1:
            raise ValueError(
                f"the answers {', '.join(map(str, indices))} are all named {name!r}: "
                f"give the number of the one that is meant"
            )
        return indices[0]


class _PassThrough(nn.Module):
    """Takes the encoder's place, and returns what it is given."""

    def forward(self, x: Tensor, *_: object, **__: object) -> BaseModelOutput:
        return BaseModelOutput(last_hidden_state=x)


def in_range(name: str, number: SupportsIndex, count: int, what: str) -> int:
    """The number as an int, if it is one of 0 … count - 1.

    Raises:
        TypeError: if it is not an integer.
        IndexError: if it is out of range.
    """
    try:
        number = operator.index(number)
    except TypeError:
        message = f"{name} is {quote(number)}, expected a number: {what}"
        raise TypeError(message) from None
    if not 0 <= number < count:
        expected = f"0 to {count - 1}" if count > 1 else "0"
        raise IndexError(f"{name} is {number}, expected {expected}: {what}")
    return number
