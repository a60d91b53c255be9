"""The parity tests can fail: each broken copy of the model is caught by one of them."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from copies import ROOMS, copied_package, source
from reference import (
    ATTENTIONS,
    ENCODER,
    HEADS,
    MASKED_LM,
    NAMES,
    OURS,
    SEQUENCE,
    DifferenceError,
    check_forward,
    check_gradients,
    check_initialisation,
    check_loss,
    check_parts,
    check_positions,
    check_recorded,
    check_training_mode,
    check_word_vectors,
    library,
    with_holes,
)


@dataclass(frozen=True)
class Mutation:
    """One way to break the model: replace a text that occurs ``times`` times."""

    name: str
    room: str
    old: str
    new: str
    times: int = 1


MUTATIONS = [
    # Embeddings
    Mutation(
        "positions off by one",
        "model",
        "torch.arange(tokens, device=device)",
        "torch.arange(1, tokens + 1, device=device)",
    ),
    Mutation(
        "positions left out",
        "model",
        "x = inputs_embeds + self.position_embeddings(position_ids)",
        "x = inputs_embeds",
    ),
    Mutation(
        "embeddings not normalised",
        "model",
        "self.dropout(self.LayerNorm(x))",
        "self.dropout(x)",
    ),
    Mutation(
        "embeddings without dropout",
        "model",
        "self.dropout(self.LayerNorm(x))",
        "self.LayerNorm(x)",
    ),
    Mutation(
        "layer norm's eps is 1e-5",
        "model",
        "LAYER_NORM_EPS = 1e-12",
        "LAYER_NORM_EPS = 1e-5",
    ),
    # Attention
    Mutation(
        "q and k swapped",
        "model",
        "attention(q, k, v, attend, dropout)",
        "attention(k, q, v, attend, dropout)",
    ),
    Mutation(
        "k and v swapped",
        "model",
        "attention(q, k, v, attend, dropout)",
        "attention(q, v, k, attend, dropout)",
    ),
    Mutation(
        "q's bias dropped",
        "model",
        "self.split_heads(self.q_lin(x))",
        "self.split_heads(F.linear(x, self.q_lin.weight))",
    ),
    Mutation(
        "v's bias dropped",
        "model",
        "self.split_heads(self.v_lin(x))",
        "self.split_heads(F.linear(x, self.v_lin.weight))",
    ),
    Mutation(
        "out's bias dropped",
        "model",
        "self.out_lin(merged)",
        "F.linear(merged, self.out_lin.weight)",
    ),
    Mutation(
        "out projection missing",
        "model",
        "self.out_lin(merged), *weights",
        "merged, *weights",
    ),
    Mutation(
        "values split into heads in the wrong order",
        "model",
        "v = self.split_heads(self.v_lin(x))",
        "v = self.v_lin(x).unflatten(-1, (-1, self.n_heads)).permute(0, 3, 1, 2)",
    ),
    Mutation(
        "heads merged in the wrong order",
        "model",
        "mixed.transpose(1, 2).flatten(2)",
        "mixed.permute(0, 2, 3, 1).flatten(2)",
    ),
    Mutation(
        "heads merged without giving the tokens back their axis",
        "model",
        "mixed.transpose(1, 2).flatten(2)",
        "mixed.reshape(x.shape)",
    ),
    Mutation("scale missing in eager", "model", " * q.shape[-1] ** -0.5", ""),
    Mutation(
        "scale missing in sdpa",
        "model",
        "scale = q.shape[-1] ** -0.5",
        "scale = 1.0",
    ),
    Mutation(
        "scale of the model's dimension",
        "model",
        "scale = q.shape[-1] ** -0.5",
        "scale = (q.shape[1] * q.shape[-1]) ** -0.5",
    ),
    Mutation(
        "scaled before the product",
        "model",
        "q @ k.transpose(2, 3) * q.shape[-1] ** -0.5",
        "(q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)",
    ),
    Mutation(
        "softmax over the wrong axis",
        "model",
        "F.softmax(scores, dim=-1)",
        "F.softmax(scores, dim=-2)",
    ),
    Mutation("mask ignored in eager", "model", "if attend is not None:", "if False:"),
    Mutation(
        "mask ignored in sdpa",
        "model",
        "F.scaled_dot_product_attention(q, k, v, attend,",
        "F.scaled_dot_product_attention(q, k, v, None,",
    ),
    Mutation("mask inverted", "model", "attention_mask != 0", "attention_mask == 0"),
    Mutation(
        "mask hides queries in place of keys",
        "model",
        "scores.masked_fill(~attend, -math.inf)",
        "scores.masked_fill(~attend.transpose(2, 3), -1e30)",
    ),
    Mutation(
        "masked scores are only lowered",
        "model",
        "scores.masked_fill(~attend, -math.inf)",
        "(scores - 10.0 * ~attend)",
    ),
    Mutation(
        "weights before the softmax returned",
        "model",
        "return weights @ v, weights",
        "return weights @ v, scores.nan_to_num()",
    ),
    Mutation(
        "weights returned before their dropout",
        "model",
        "    weights = F.dropout(F.softmax(scores, dim=-1), dropout)\n"
        "    return weights @ v, weights",
        "    weights = F.softmax(scores, dim=-1)\n"
        "    return F.dropout(weights, dropout) @ v, weights",
    ),
    Mutation(
        "weights drawn evenly, with the same deviation",
        "model",
        "module.weight.normal_(std=self.config.initializer_range)",
        "module.weight.uniform_(*(x * 3**0.5 * self.config.initializer_range "
        "for x in (-1, 1)))",
    ),
    Mutation(
        "attention dropout missing",
        "model",
        "dropout = self.dropout.p if self.training else 0.0",
        "dropout = 0.0",
    ),
    Mutation(
        "attention dropout in eval",
        "model",
        "dropout = self.dropout.p if self.training else 0.0",
        "dropout = self.dropout.p",
    ),
    Mutation(
        "attention dropout at the other rate",
        "model",
        "nn.Dropout(config.attention_dropout)",
        "nn.Dropout(config.dropout)",
    ),
    # Feed-forward network
    Mutation(
        "GELU by its tanh approximation",
        "model",
        '{"gelu": F.gelu,',
        '{"gelu": lambda x: F.gelu(x, approximate="tanh"),',
    ),
    Mutation("ReLU in place of GELU", "model", '{"gelu": F.gelu,', '{"gelu": F.relu,'),
    Mutation("GELU in place of ReLU", "model", '"relu": F.relu}', '"relu": F.gelu}'),
    Mutation(
        "activation missing in the FFN",
        "model",
        "self.activation(self.lin1(x))",
        "self.lin1(x)",
    ),
    Mutation(
        "lin2's bias dropped",
        "model",
        "self.dropout(self.lin2(x))",
        "self.dropout(F.linear(x, self.lin2.weight))",
    ),
    Mutation(
        "FFN without dropout", "model", "self.dropout(self.lin2(x))", "self.lin2(x)"
    ),
    Mutation(
        "dropout inside the FFN",
        "model",
        "self.dropout(self.lin2(x))",
        "self.lin2(self.dropout(x))",
    ),
    # Block
    Mutation(
        "layer norms swapped",
        "model",
        "x = self.sa_layer_norm(attended + x)\n"
        "        x = self.output_layer_norm(self.ffn(x) + x)",
        "x = self.output_layer_norm(attended + x)\n"
        "        x = self.sa_layer_norm(self.ffn(x) + x)",
    ),
    Mutation(
        "attention's residual missing",
        "model",
        "self.sa_layer_norm(attended + x)",
        "self.sa_layer_norm(attended)",
    ),
    Mutation(
        "FFN's residual missing",
        "model",
        "self.output_layer_norm(self.ffn(x) + x)",
        "self.output_layer_norm(self.ffn(x))",
    ),
    Mutation(
        "FFN's residual from before the attention",
        "model",
        "x = self.sa_layer_norm(attended + x)\n"
        "        x = self.output_layer_norm(self.ffn(x) + x)",
        "y = self.sa_layer_norm(attended + x)\n"
        "        x = self.output_layer_norm(self.ffn(y) + x)",
    ),
    Mutation(
        "normalised before the attention and the FFN",
        "model",
        "attended, *weights = self.attention(x, attend, attention)\n"
        "        x = self.sa_layer_norm(attended + x)\n"
        "        x = self.output_layer_norm(self.ffn(x) + x)",
        "normed = self.sa_layer_norm(x)\n"
        "        attended, *weights = self.attention(normed, attend, attention)\n"
        "        x = attended + x\n"
        "        x = self.ffn(self.output_layer_norm(x)) + x",
    ),
    # Encoder
    Mutation(
        "blocks in reverse",
        "model",
        "for block in self.layer:",
        "for block in self.layer[::-1]:",
    ),
    Mutation(
        "last block left out",
        "model",
        "for block in self.layer:",
        "for block in self.layer[:-1]:",
    ),
    Mutation(
        "hidden states without the embeddings",
        "model",
        "hidden_states=tuple(hidden_states) if",
        "hidden_states=tuple(hidden_states[1:]) if",
    ),
    Mutation(
        "hidden states end before the last",
        "model",
        "hidden_states=tuple(hidden_states) if",
        "hidden_states=tuple(hidden_states[:-1]) if",
    ),
    Mutation(
        "hidden states are what enters a block twice",
        "model",
        "hidden_states=tuple(hidden_states) if",
        "hidden_states=(hidden_states[0], *hidden_states[:-1]) if",
    ),
    Mutation(
        "given positions ignored",
        "model",
        "if position_ids is None:\n            tokens",
        "if True:\n            tokens",
    ),
    # First values
    Mutation(
        "first values of torch",
        "model",
        "module.weight.normal_(std=self.config.initializer_range)",
        "pass",
    ),
    Mutation("biases not zero at first", "model", "module.bias.zero_()", "pass"),
    Mutation(
        "given word vectors ignored",
        "model",
        "x = inputs_embeds + self.position_embeddings(position_ids)",
        "x = self.word_embeddings(torch.ones(inputs_embeds.shape[:2]).int())"
        " + self.position_embeddings(position_ids)",
    ),
    Mutation(
        "padding row not zero at first",
        "model",
        "module.weight[module.padding_idx].zero_()",
        "pass",
    ),
    Mutation(
        "sine and cosine swapped",
        "model",
        "angle.sin(), angle.cos()",
        "angle.cos(), angle.sin()",
    ),
    Mutation(
        "sines in the first half, cosines in the second",
        "model",
        "torch.where(column % 2 == 0, angle.sin(), angle.cos())",
        "torch.where(column < dim // 2, angle.sin(), angle.cos())",
    ),
    # Heads
    Mutation(
        "wrong token pooled by both pooling heads",
        "heads",
        "out.last_hidden_state[:, 0]",
        "out.last_hidden_state[:, -1]",
        times=2,
    ),
    Mutation(
        "ReLU missing in both pooling heads",
        "heads",
        "F.relu(self.pre_classifier(cls))",
        "self.pre_classifier(cls)",
        times=2,
    ),
    Mutation(
        "pre-classifier missing in both pooling heads",
        "heads",
        "F.relu(self.pre_classifier(cls))",
        "F.relu(cls)",
        times=2,
    ),
    Mutation(
        "dropout before the pre-classifier",
        "heads",
        "self.dropout(F.relu(self.pre_classifier(cls)))",
        "F.relu(self.pre_classifier(self.dropout(cls)))",
        times=2,
    ),
    Mutation(
        "classifiers drop at the encoder's rate",
        "heads",
        "nn.Dropout(config.seq_classif_dropout)",
        "nn.Dropout(config.dropout)",
        times=2,
    ),
    Mutation(
        "question answering without dropout",
        "heads",
        "self.qa_outputs(self.dropout(out.last_hidden_state))",
        "self.qa_outputs(out.last_hidden_state)",
    ),
    Mutation(
        "token classification without dropout",
        "heads",
        "self.classifier(self.dropout(out.last_hidden_state))",
        "self.classifier(out.last_hidden_state)",
    ),
    Mutation(
        "start and end swapped",
        "heads",
        "start_logits, end_logits = logits",
        "end_logits, start_logits = logits",
    ),
    Mutation(
        "activation missing before the vocabulary",
        "heads",
        "self.activation(self.vocab_transform(out.last_hidden_state))",
        "self.vocab_transform(out.last_hidden_state)",
    ),
    Mutation(
        "norm missing before the vocabulary",
        "heads",
        "self.vocab_projector(self.vocab_layer_norm(x))",
        "self.vocab_projector(x)",
    ),
    Mutation(
        "vocabulary's bias dropped",
        "heads",
        "self.vocab_projector(self.vocab_layer_norm(x))",
        "F.linear(self.vocab_layer_norm(x), self.vocab_projector.weight)",
    ),
    Mutation(
        "tied weight untied", "heads", "if config.tie_word_embeddings:", "if False:"
    ),
    Mutation(
        "weight always tied", "heads", "if config.tie_word_embeddings:", "if True:"
    ),
    Mutation(
        "choices counted as texts",
        "heads",
        "self.classifier(x).view(batch, choices)",
        "self.classifier(x).view(choices, batch).T",
    ),
    # Losses
    Mutation(
        "the loss of labels summed",
        "losses",
        "F.cross_entropy(scores, right, ignore_index=ignored)",
        'F.cross_entropy(scores, right, ignore_index=ignored, reduction="sum")',
    ),
    Mutation(
        "the loss over all labels, ignored ones too",
        "losses",
        "return F.cross_entropy(scores, right, ignore_index=ignored)",
        "return F.cross_entropy(scores, right, ignore_index=ignored, reduction='sum')"
        " / right.numel()",
    ),
    Mutation(
        "each part of a batch has a mean of its own",
        "losses",
        "(counted if items is None else items)",
        "counted",
    ),
    Mutation(
        "each part of a regression has a mean of its own",
        "losses",
        "losses.mean() if items is None else losses.sum() / items",
        "losses.mean()",
    ),
    Mutation(
        "the mask a constant of a recorded program",
        "inputs",
        "torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None",
        "torch.compiler.is_compiling()",
    ),
    Mutation(
        "span loss not halved",
        "losses",
        "(start_loss + end_loss) / 2",
        "start_loss + end_loss",
    ),
    Mutation(
        "cut answers counted at the last token",
        "inputs",
        "clamp(max=tokens)",
        "clamp(max=tokens - 1)",
    ),
    Mutation(
        "squared error summed",
        "losses",
        "losses.mean() if items",
        "losses.sum() if items",
    ),
    Mutation(
        "labels taken for one class where many hold",
        "losses",
        "F.binary_cross_entropy_with_logits(",
        "(lambda logits, labels, reduction: F.cross_entropy(logits, labels))(",
    ),
]


def check_all(library: SimpleNamespace) -> None:
    """Run one small case of every parity check."""
    for name in NAMES:
        for attention in ATTENTIONS:
            check_forward(library, name, attention)
    for attention in ATTENTIONS:
        check_forward(library, ENCODER, attention, mask=with_holes)
        check_forward(library, ENCODER, attention, activation="relu")
        check_forward(library, MASKED_LM, attention, tie_word_embeddings=False)
        check_positions(library, attention)
        check_word_vectors(library, attention)
    for name in HEADS:
        check_loss(library, name)
        check_gradients(library, name, "sdpa")
        check_parts(library, name)
        check_recorded(library, name)
    targets = torch.tensor([[0.0], [1.0]])
    check_loss(library, SEQUENCE, {"labels": targets}, num_labels=1)
    check_loss(library, SEQUENCE, {"labels": torch.cat([targets, 1 - targets], 1)})
    numbers = {"labels": torch.tensor([[0.1, 2.0], [1, 3], [5, 0], [2, 2]])}
    check_parts(library, SEQUENCE, numbers, problem_type="regression")
    rates = {
        "dropout": 0.15,
        "attention_dropout": 0.25,
        "qa_dropout": 0.35,
        "seq_classif_dropout": 0.45,
    }
    for name in NAMES:
        for attention in ATTENTIONS:
            check_training_mode(library, name, attention, **rates)
    check_initialisation(library, MASKED_LM)
    check_initialisation(library, MASKED_LM, sinusoidal_pos_embds=True)


@pytest.mark.sample(15)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_broken_copy_is_caught(mutation):
    assert source(mutation.room).count(mutation.old) == mutation.times

    def mutate(room: str, text: str) -> str:
        if room != mutation.room:
            return text
        return text.replace(mutation.old, mutation.new)

    # Only an answer that differs counts: a copy that crashes would prove nothing.
    with copied_package(mutate) as rooms, pytest.raises(DifferenceError):
        check_all(library(rooms["model"], rooms["heads"]))


def test_an_unbroken_copy_passes_by_the_same_route():
    with copied_package(lambda room, text: text) as rooms:
        copy = library(rooms["model"], rooms["heads"])
        assert copy.DistilBertModel is not OURS.DistilBertModel
        check_all(copy)


def test_a_broken_copy_does_not_touch_the_real_modules():
    before = [source(room) for room in ROOMS]
    with copied_package(lambda room, text: text.replace("1e-12", "1e-5")) as rooms:
        assert rooms["heads"].LAYER_NORM_EPS == 1e-5
    assert OURS.DistilBertModel.__init__.__globals__["LAYER_NORM_EPS"] == 1e-12
    assert [source(room) for room in ROOMS] == before


def test_a_copy_does_not_take_the_place_of_the_real_operators():
    def operator():
        return torch.ops.minidistil.checked_labels.default

    before = operator()
    with copied_package(lambda room, text: text):
        assert operator() is before
    assert operator() is before


def test_no_two_mutations_are_the_same():
    texts = {(mutation.room, mutation.old, mutation.new) for mutation in MUTATIONS}
    assert len(texts) == len(MUTATIONS)
    assert all(mutation.old != mutation.new for mutation in MUTATIONS)
