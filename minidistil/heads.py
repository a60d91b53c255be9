"""The five task heads: a few layers each, on top of the encoder.

Shapes use the letters of `minidistil.model`. Every forward pass takes the arguments of
`DistilBertModel.forward`, and labels to compute a loss from: see `minidistil.losses`,
also for ``num_items_in_batch``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from minidistil.config import DistilBertConfig
from minidistil.inputs import check_choices, check_two_labels
from minidistil.losses import (
    classification_loss,
    kind_of_problem,
    label_loss,
    span_loss,
)
from minidistil.model import (
    ACTIVATION,
    LAYER_NORM_EPS,
    DistilBertModel,
    DistilBertPreTrainedModel,
)
from minidistil.outputs import (
    BaseModelOutput,
    MaskedLMOutput,
    MultipleChoiceOutput,
    QuestionAnsweringOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
    as_asked,
)


class Head(DistilBertPreTrainedModel):
    """An encoder, for a few layers to stand on."""

    def __init__(
        self, config: DistilBertConfig, *, attn_implementation: str = "sdpa"
    ) -> None:
        super().__init__(config)
        self.distilbert = DistilBertModel(
            config, attn_implementation=attn_implementation
        )

    def encode(
        self,
        text: Sequence[Tensor | None],
        output_hidden_states: bool | None,
        output_attentions: bool | None,
        unknown: Mapping[str, object],
    ) -> BaseModelOutput:
        """Run the encoder on ids, mask, word vectors and positions."""
        input_ids, attention_mask, inputs_embeds, position_ids = text
        return self.distilbert(
            input_ids,
            attention_mask,
            inputs_embeds=inputs_embeds,
            position_ids=position_ids,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            return_dict=True,
            **unknown,
        )

    def init_head(self) -> None:
        """Draw the weights of the layers on top; the encoder has drawn its own."""
        for layer in self.children():
            if layer is not self.distilbert:
                layer.apply(self.init_weights)


class DistilBertForSequenceClassification(Head):
    """One answer for the whole text, read off its first token, ``[CLS]``."""

    def __init__(
        self, config: DistilBertConfig, *, attn_implementation: str = "sdpa"
    ) -> None:
        super().__init__(config, attn_implementation=attn_implementation)
        self.pre_classifier = nn.Linear(config.dim, config.dim)
        self.classifier = nn.Linear(config.dim, config.num_labels)
        self.dropout = nn.Dropout(config.seq_classif_dropout)
        self.init_head()

    @as_asked
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **unknown: object,
    ) -> SequenceClassifierOutput:
        """Classify (B, T) ids; the loss of ``labels`` is `classification_loss`."""
        text = input_ids, attention_mask, inputs_embeds, position_ids
        out = self.encode(text, output_hidden_states, output_attentions, unknown)
        cls = out.last_hidden_state[:, 0]  # (B, D)
        x = self.dropout(F.relu(self.pre_classifier(cls)))
        logits = self.classifier(x)  # (B, C)
        loss = classification_loss(
            self.config, logits, labels, num_items_in_batch, self.training
        )
        if labels is not None:  # how the answers are to be read, from now on
            self.trained_as["problem_type"] = kind_of_problem(self.config, labels)
        return SequenceClassifierOutput(loss, logits, out.hidden_states, out.attentions)


class DistilBertForTokenClassification(Head):
    """One answer for every token, such as the kind of name it belongs to."""

    def __init__(
        self, config: DistilBertConfig, *, attn_implementation: str = "sdpa"
    ) -> None:
        super().__init__(config, attn_implementation=attn_implementation)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.dim, config.num_labels)
        self.init_head()

    @as_asked
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **unknown: object,
    ) -> TokenClassifierOutput:
        """Classify each of (B, T) ids; in ``labels`` (B, T), -100 does not count."""
        text = input_ids, attention_mask, inputs_embeds, position_ids
        out = self.encode(text, output_hidden_states, output_attentions, unknown)
        logits = self.classifier(self.dropout(out.last_hidden_state))  # (B, T, C)
        loss = label_loss(logits, labels, num_items_in_batch, self.training)
        return TokenClassifierOutput(loss, logits, out.hidden_states, out.attentions)


class DistilBertForMaskedLM(Head):
    """The word behind each token: what the encoder was first trained to guess."""

    def __init__(
        self, config: DistilBertConfig, *, attn_implementation: str = "sdpa"
    ) -> None:
        super().__init__(config, attn_implementation=attn_implementation)
        self.activation = ACTIVATION[config.activation]
        self.vocab_transform = nn.Linear(config.dim, config.dim)
        self.vocab_layer_norm = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)
        self.vocab_projector = nn.Linear(config.dim, config.vocab_size)
        self.init_head()
        if config.tie_word_embeddings:
            # One matrix reads words in and scores words out (Press & Wolf 2016,
            # arXiv:1608.05859).
            self.vocab_projector.weight = (
                self.distilbert.embeddings.word_embeddings.weight
            )

    @as_asked
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **unknown: object,
    ) -> MaskedLMOutput:
        """Score all words for (B, T) ids; in ``labels`` (B, T), -100 does not count."""
        text = input_ids, attention_mask, inputs_embeds, position_ids
        out = self.encode(text, output_hidden_states, output_attentions, unknown)
        x = self.activation(self.vocab_transform(out.last_hidden_state))
        logits = self.vocab_projector(self.vocab_layer_norm(x))  # (B, T, V)
        loss = label_loss(logits, labels, num_items_in_batch, self.training)
        return MaskedLMOutput(loss, logits, out.hidden_states, out.attentions)


class DistilBertForQuestionAnswering(Head):
    """Where in the text an answer starts, and where it ends."""

    def __init__(
        self, config: DistilBertConfig, *, attn_implementation: str = "sdpa"
    ) -> None:
        super().__init__(config, attn_implementation=attn_implementation)
        check_two_labels(config)
        self.qa_outputs = nn.Linear(config.dim, 2)
        self.dropout = nn.Dropout(config.qa_dropout)
        self.init_head()

    @as_asked
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **unknown: object,
    ) -> QuestionAnsweringOutput:
        """Score each of (B, T) ids as a start and an end; the right places are (B,)."""
        text = input_ids, attention_mask, inputs_embeds, position_ids
        out = self.encode(text, output_hidden_states, output_attentions, unknown)
        logits = self.qa_outputs(self.dropout(out.last_hidden_state))  # (B, T, 2)
        start_logits, end_logits = logits.unbind(-1)  # (B, T)
        spans = start_positions, end_positions
        loss = span_loss(
            start_logits, end_logits, *spans, num_items_in_batch, self.training
        )
        return QuestionAnsweringOutput(
            loss, start_logits, end_logits, out.hidden_states, out.attentions
        )


class DistilBertForMultipleChoice(Head):
    """Which of C texts is right: each is read alone and given one score."""

    def __init__(
        self, config: DistilBertConfig, *, attn_implementation: str = "sdpa"
    ) -> None:
        super().__init__(config, attn_implementation=attn_implementation)
        self.pre_classifier = nn.Linear(config.dim, config.dim)
        self.classifier = nn.Linear(config.dim, 1)
        self.dropout = nn.Dropout(config.seq_classif_dropout)
        self.init_head()

    @as_asked
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **unknown: object,
    ) -> MultipleChoiceOutput:
        """Choose among (B, C, T) ids; ``labels`` (B,) are the right choices."""
        batch, choices = check_choices(input_ids, inputs_embeds)
        # To the encoder, B texts with C choices each are B * C texts.
        text = input_ids, attention_mask, inputs_embeds, position_ids
        each = [merge_choices(x) for x in text]
        out = self.encode(each, output_hidden_states, output_attentions, unknown)
        cls = out.last_hidden_state[:, 0]  # (B * C, D)
        x = self.dropout(F.relu(self.pre_classifier(cls)))
        logits = self.classifier(x).view(batch, choices)  # (B, C)
        loss = label_loss(logits, labels, num_items_in_batch, self.training)
        return MultipleChoiceOutput(loss, logits, out.hidden_states, out.attentions)


def merge_choices(x: Tensor | None) -> Tensor | None:
    """(B, C, …) -> (B * C, …); the encoder says what is wrong with anything else."""
    return x.flatten(0, 1) if isinstance(x, Tensor) and x.ndim > 2 else x
