"""A student as the loop sees it: inputs in, the sum of each term of the loss out.

Who trains a classifier of texts, of tokens or of choices, finds logits and labels of
the same form. Question answering has two answers a text. Masked language modelling has
a class for each word: its logits are made only where they count, and never all at once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from minidistil.heads import DistilBertForMaskedLM
from minidistil.inputs import checked_before
from minidistil.training.objectives import (
    cosine_loss,
    hard_loss,
    in_chunks,
    several_labels_loss,
    soft_loss,
    squared_loss,
)

# By `config.problem_type`; None: one right class.
HARD = {
    "regression": squared_loss,
    "multi_label_classification": several_labels_loss,
}


class LabelLearner(nn.Module):
    """Of texts, tokens or choices: logits (…, C), one label for each."""

    def __init__(
        self, model: nn.Module, problem: str | None, temperature: float
    ) -> None:
        """Take the student; ``problem`` is a key of `HARD`, or None."""
        super().__init__()
        self.model = model
        self.hard = HARD.get(problem or "", hard_loss)
        self.temperature = temperature

    def forward(
        self,
        input_ids: Tensor,
        labels: Tensor,
        attention_mask: Tensor | None = None,
        places: Tensor | None = None,
        teacher: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Sum the terms.

        Args:
            input_ids: (B, T), or (B, C, T) of choices.
            labels: Of what has one, (N,); of a regression or several labels, (N, C).
            attention_mask: Of the shape of the ids; None where there is no padding.
            places: Of token classification, which of the B * T tokens have a label,
                (N,); None: the N texts themselves.
            teacher: The teacher's logits of the same, (N, C).
        """
        with checked_before():
            logits = self.model(input_ids, attention_mask, return_dict=True).logits
        logits = logits.reshape(-1, logits.shape[-1])
        if places is not None:
            logits = logits[places]
        sums = {"hard": self.hard(logits, labels)}
        if teacher is not None:
            sums["soft"] = soft_loss(logits, teacher, self.temperature)
        return sums


class SpanLearner(nn.Module):
    """Of question answering: a start and an end, among the T tokens of a window.

    Each term is the mean of the two, as in the model's own loss.
    """

    def __init__(self, model: nn.Module, temperature: float) -> None:
        """Take the student."""
        super().__init__()
        self.model = model
        self.temperature = temperature

    def forward(
        self,
        input_ids: Tensor,
        starts: Tensor,
        ends: Tensor,
        attention_mask: Tensor | None = None,
        teacher: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Sum the terms; ``teacher`` are its logits (B, T, 2), -inf at padding."""
        with checked_before():
            out = self.model(input_ids, attention_mask, return_dict=True)
        found = torch.stack((out.start_logits, out.end_logits))  # (2, B, T)
        right = torch.stack((starts, ends))  # (2, B)
        tokens = found.shape[-1]
        sums = {"hard": hard_loss(found.view(-1, tokens), right.flatten()) / 2}
        if teacher is not None:
            hidden = attention_mask == 0 if attention_mask is not None else None
            wanted = teacher.permute(2, 0, 1)  # (2, B, T)
            if hidden is not None:
                # Of padding nobody answers anything, in the same way.
                found = found.masked_fill(hidden, torch.finfo(found.dtype).min)
                wanted = wanted.masked_fill(hidden, torch.finfo(wanted.dtype).min)
            both = found.view(-1, tokens), wanted.reshape(-1, tokens)
            sums["soft"] = soft_loss(*both, self.temperature) / 2
        return sums


class MaskedLearner(nn.Module):
    """Of masked language modelling, with a teacher or without.

    As DistilBERT was trained: the soft loss and the cosine over all tokens, the hard
    one over those that were hidden.
    """

    def __init__(
        self,
        model: DistilBertForMaskedLM,
        temperature: float,
        teacher: DistilBertForMaskedLM | None = None,
    ) -> None:
        """Take the student, and a teacher of the same vocabulary."""
        super().__init__()
        self.model = model
        self.temperature = temperature
        # In a list: it is no part of the student, is not trained, saved or shared.
        self._teacher = [] if teacher is None else [teacher.eval()]

    def forward(
        self,
        input_ids: Tensor,
        labels: Tensor,
        places: Tensor,
        attention_mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Sum the terms.

        Args:
            input_ids: (B, T), some of them hidden.
            labels: The words that are to be guessed, or `IGNORED`, (N,).
            places: Which of the B * T tokens they are, (N,): with a teacher all that
                are read, without one those that are hidden.
            attention_mask: (B, T); None where there is no padding.
        """
        with checked_before():
            states = self._states(self.model, input_ids, attention_mask)[places]
            if not self._teacher:
                (hard,) = in_chunks(self._hard, states, labels)
                return {"hard": hard}
            with torch.no_grad():
                teacher = self._teacher[0]
                wanted = self._states(teacher, input_ids, attention_mask)[places]
        hard, soft = in_chunks(self._hard_and_soft, states, wanted, labels)
        sums = {"hard": hard, "soft": soft}
        if states.shape == wanted.shape:
            sums["cosine"] = cosine_loss(states, wanted)
        return sums

    @staticmethod
    def _states(
        model: DistilBertForMaskedLM, input_ids: Tensor, attention_mask: Tensor | None
    ) -> Tensor:
        encoded = model.distilbert(input_ids, attention_mask, return_dict=True)
        states: Tensor = encoded.last_hidden_state  # (B, T, D)
        return states.flatten(0, 1)

    def _hard(self, states: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        return (hard_loss(words(self.model, states), labels),)

    def _hard_and_soft(
        self, states: Tensor, wanted: Tensor, labels: Tensor
    ) -> tuple[Tensor, ...]:
        found = words(self.model, states)
        with torch.no_grad():
            expected = words(self._teacher[0], wanted)
        soft = soft_loss(found, expected, self.temperature)
        return hard_loss(found, labels), soft


def words(model: DistilBertForMaskedLM, states: Tensor) -> Tensor:
    """The score of every word for some of the last vectors: (N, D) to (N, V)."""
    x = model.activation(model.vocab_transform(states))
    scores: Tensor = model.vocab_projector(model.vocab_layer_norm(x))
    return scores
