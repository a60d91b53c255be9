"""The answer that is explained, and how to get it again from changed vectors."""

from __future__ import annotations

import copy
import operator
from typing import SupportsIndex

import torch
from torch import Tensor, nn

from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.explainer.recorder import hooks_of
from minidistil.explainer.trace import MaskedLMTrace, Trace
from minidistil.model import DistilBertModel
from minidistil.outputs import BaseModelOutput

# What a batch of changed inputs may hold: it bounds the memory, not the answer.
TOKENS_AT_ONCE = 1024


class Answer:
    """N logits: of a classifier's labels, or of the words behind one ``[MASK]``.

    Attributes:
        encoder: The trace's encoder, as `constant` makes it.
        ids: What the encoder read, (1, T).
        attend: Where it read, (1, T); False at padding.
        place: The token that the head reads.
        logits: The trace's own logits, (N,).
        function: What makes probabilities of logits, one of `pipelines.FUNCTIONS`.
        probabilities: The trace's own probabilities, (N,).
    """

    def __init__(self, trace: Trace, mask: int) -> None:
        """Take a trace's answer, for masked LM that of one of the masks.

        Raises:
            ValueError: if the trace has no answer.
            IndexError: if there is no such mask.
        """
        if trace.head is None:
            raise ValueError(f"there is no answer to explain: {trace.not_shown}")
        self._trace = trace
        if isinstance(trace.head, MaskedLMTrace):
            what = "the number of a [MASK] in the text"
            mask = in_range("mask", mask, len(trace.head.masks), what)
            self.place = trace.head.masks[mask]
            self.logits = trace.head.logits[mask]
            self.function = "softmax"
            self.probabilities = trace.head.probabilities[mask]
        else:
            in_range("mask", mask, 1, "a classifier gives one answer")
            self.place = 0
            self.logits = trace.head.logits
            self.function = trace.head.function
            self.probabilities = trace.head.probabilities
        self._head = constant(trace.subject.model)
        self.encoder: DistilBertModel = self._head.encoder
        # The weights of the attention are not asked for.
        self.encoder.attn_implementation = "sdpa"
        # The head's own forward pass stays as it is: its encoder is handed the result.
        self._head.distilbert = _Handed()
        device = trace.subject.model.device
        self.ids = torch.tensor([[token.id for token in trace.tokens]], device=device)
        self.attend = torch.tensor(
            [[token.attend for token in trace.tokens]], device=device
        )

    def from_vectors(self, x: Tensor) -> Tensor:
        """The head's logits (R, N) for R vectors (R, D) of the token it reads.

        They are on the CPU, as the trace's own.
        """
        logits: Tensor = self._head(x[:, None]).logits  # (R, N) or (R, 1, N)
        return logits.flatten(1).cpu()

    def number(self, target: SupportsIndex | str | None) -> int:
        """The number of a label or word; of the most probable one for None.

        Raises:
            ValueError: for a name that there is not, or that several answers have.
            IndexError: for a number that there is not.
        """
        if target is None:
            return int(self.probabilities.argmax())
        if isinstance(target, str):
            target = self._named(target)
        return in_range("target", target, len(self.logits), "the number of an answer")

    def _named(self, name: str) -> int:
        subject = self._trace.subject
        if isinstance(self._trace.head, MaskedLMTrace):
            names = {i: token for token, i in subject.tokenizer.get_vocab().items()}
            known = "one token of the vocabulary"
        else:
            # Not label2id: it may differ, and what is shown are these.
            names = subject.model.config.id2label
            known = f"one of {', '.join(names.values())}"
        numbers = [number for number, each in names.items() if each == name]
        if not numbers:
            raise ValueError(f"there is no answer {name!r}, expected {known}")
        if len(numbers) > 1:
            raise ValueError(
                f"the answers {', '.join(map(str, numbers))} are all named {name!r}: "
                f"give the number of the one that is meant"
            )
        return numbers[0]


class _Handed(nn.Module):
    """Stands where the encoder stood, and returns what it is given."""

    def forward(self, x: Tensor, *_: object, **__: object) -> BaseModelOutput:
        return BaseModelOutput(last_hidden_state=x)


def in_range(name: str, number: SupportsIndex, count: int, what: str) -> int:
    """The number as an int, if it is one of 0 … count - 1.

    Raises:
        TypeError: for what is no number.
        IndexError: for a number out of range.
    """
    try:
        number = operator.index(number)
    except TypeError:
        message = f"{name} is {number!r:.60}, expected a number: {what}"
        raise TypeError(message) from None
    if not 0 <= number < count:
        expected = f"0 to {count - 1}" if count > 1 else "0"
        raise IndexError(f"{name} is {number}, expected {expected}: {what}")
    return number


def constant(model: PreTrainedModel) -> PreTrainedModel:
    """A copy whose parameters take no gradients; what can be is shared, not copied.

    A model in 16 bits becomes one in 32: gradients, and the small differences that an
    ablation makes, would drown in its rounding.
    """
    # Autograd refuses tensors that were made in inference mode.
    with torch.inference_mode(False):
        fixed: dict[int, object] = {
            id(parameter): nn.Parameter(_wide(parameter), requires_grad=False)
            for parameter in model.parameters()
        }
        fixed |= {id(hook): hook for hook in hooks_of(model)}
        return copy.deepcopy(model, fixed)


def _wide(parameter: Tensor) -> Tensor:
    tensor = parameter.clone() if parameter.is_inference() else parameter
    return tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32))
