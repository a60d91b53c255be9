"""The five task heads: a few layers each, on top of the encoder.

Shapes use the letters of `minidistil.model`. Every forward pass takes the arguments of
`DistilBertModel.forward`, and labels to compute a loss from (`minidistil.losses`).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from minidistil.config import ConfigError, DistilBertConfig
from minidistil.inputs import check_choices
from minidistil.losses import choice_loss, classification_loss, span_loss, token_loss
from minidistil.model import (
    ACTIVATION,
    LAYER_NORM_EPS,
    DistilBertModel,
    DistilBertPreTrainedModel,
)
from minidistil.outputs import (
    MaskedLMOutput,
    MultipleChoiceOutput,
    QuestionAnsweringOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
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

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        **unknown: object,
    ) -> SequenceClassifierOutput:
        """Classify (B, T) ids; the loss of ``labels`` is `classification_loss`."""
        out = self.distilbert(
            input_ids,
            attention_mask,
            inputs_embeds=inputs_embeds,
            position_ids=position_ids,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            **unknown,
        )
        cls = out.last_hidden_state[:, 0]  # (B, D)
        x = self.dropout(F.relu(self.pre_classifier(cls)))
        logits = self.classifier(x)  # (B, C)
        loss = classification_loss(self.config, logits, labels)
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

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        **unknown: object,
    ) -> TokenClassifierOutput:
        """Classify each of (B, T) ids; in ``labels`` (B, T), -100 does not count."""
        out = self.distilbert(
            input_ids,
            attention_mask,
            inputs_embeds=inputs_embeds,
            position_ids=position_ids,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            **unknown,
        )
        logits = self.classifier(self.dropout(out.last_hidden_state))  # (B, T, C)
        loss = token_loss(logits, labels)
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

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        **unknown: object,
    ) -> MaskedLMOutput:
        """Score all words for (B, T) ids; in ``labels`` (B, T), -100 does not count."""
        out = self.distilbert(
            input_ids,
            attention_mask,
            inputs_embeds=inputs_embeds,
            position_ids=position_ids,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            **unknown,
        )
        x = self.activation(self.vocab_transform(out.last_hidden_state))
        logits = self.vocab_projector(self.vocab_layer_norm(x))  # (B, T, V)
        loss = token_loss(logits, labels)
        return MaskedLMOutput(loss, logits, out.hidden_states, out.attentions)


class DistilBertForQuestionAnswering(Head):
    """Where in the text an answer starts, and where it ends."""

    def __init__(
        self, config: DistilBertConfig, *, attn_implementation: str = "sdpa"
    ) -> None:
        super().__init__(config, attn_implementation=attn_implementation)
        if config.num_labels != 2:
            raise ConfigError(
                f"num_labels is {config.num_labels}, expected 2 for question "
                f"answering, a start and an end: pass num_labels=2"
            )
        self.qa_outputs = nn.Linear(config.dim, 2)
        self.dropout = nn.Dropout(config.qa_dropout)
        self.init_head()

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
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        **unknown: object,
    ) -> QuestionAnsweringOutput:
        """Score each of (B, T) ids as a start and an end; the right places are (B,)."""
        out = self.distilbert(
            input_ids,
            attention_mask,
            inputs_embeds=inputs_embeds,
            position_ids=position_ids,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            **unknown,
        )
        logits = self.qa_outputs(self.dropout(out.last_hidden_state))  # (B, T, 2)
        start_logits, end_logits = logits.unbind(-1)  # (B, T)
        loss = span_loss(start_logits, end_logits, start_positions, end_positions)
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

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        **unknown: object,
    ) -> MultipleChoiceOutput:
        """Choose among (B, C, T) ids; ``labels`` (B,) are the right choices."""
        batch, choices = check_choices(input_ids, inputs_embeds)
        # To the encoder, B texts with C choices each are B * C texts.
        out = self.distilbert(
            merge_choices(input_ids),
            merge_choices(attention_mask),
            inputs_embeds=merge_choices(inputs_embeds),
            position_ids=merge_choices(position_ids),
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            **unknown,
        )
        cls = out.last_hidden_state[:, 0]  # (B * C, D)
        x = self.dropout(F.relu(self.pre_classifier(cls)))
        logits = self.classifier(x).view(batch, choices)  # (B, C)
        loss = choice_loss(logits, labels)
        return MultipleChoiceOutput(loss, logits, out.hidden_states, out.attentions)


def merge_choices(x: Tensor | None) -> Tensor | None:
    """(B, C, …) -> (B * C, …); the encoder says what is wrong with anything else."""
    return x.flatten(0, 1) if isinstance(x, Tensor) and x.ndim > 2 else x
