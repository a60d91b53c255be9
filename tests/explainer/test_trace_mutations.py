"""The tests of traces can fail: each broken copy of the explainer is caught by one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from checkpoints import write_checkpoint
from copies import copied_package, source
from reference import DifferenceError
from traces import check_reading, check_theirs, check_tokens, check_trace

from minidistil import (
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    DistilBertTokenizer,
    compare,
)
from minidistil.checkpoint.pretrained import PreTrainedModel

READING, MODEL, TRACE, RECORDER, EXPLAIN = ROOMS = [
    f"explainer.{name}"
    for name in ("reading", "loaded_model", "trace", "recorder", "explaining")
]


@dataclass(frozen=True)
class Mutation:
    """One way to break the explainer: replace a text that occurs once."""

    name: str
    room: str
    old: str
    new: str


MUTATIONS = [
    # Embeddings
    Mutation(
        "the word embeddings are the sum",
        RECORDER,
        "EmbeddingsTrace(words,",
        "EmbeddingsTrace(summed,",
    ),
    Mutation(
        "positions of another token",
        RECORDER,
        ".expand_as(words)",
        ".expand_as(words).roll(1, 1)",
    ),
    Mutation(
        "the sum is what was normalised",
        RECORDER,
        'summed, normalised = at["embeddings.LayerNorm"]',
        'normalised, summed = at["embeddings.LayerNorm"]',
    ),
    Mutation(
        "word embeddings of another row",
        RECORDER,
        "EmbeddingsTrace(words,",
        "EmbeddingsTrace(words.roll(1, 0),",
    ),
    Mutation(
        "the sum without the positions",
        RECORDER,
        "positions, summed, normalised)",
        "positions, words, normalised)",
    ),
    Mutation(
        "embeddings not normalised",
        RECORDER,
        "positions, summed, normalised)",
        "positions, summed, summed)",
    ),
    # Attention
    Mutation(
        "q and k swapped",
        RECORDER,
        'for name in "qkv")',
        'for name in "kqv")',
    ),
    Mutation(
        "k and v swapped",
        RECORDER,
        'for name in "qkv")',
        'for name in "qvk")',
    ),
    Mutation(
        "q is what q_lin read",
        RECORDER,
        'split(at[f"attention.{name}_lin"][1])',
        'split(at[f"attention.{name}_lin"][0])',
    ),
    Mutation(
        "heads split in the wrong order",
        RECORDER,
        "split = self._attention.split_heads",
        "split = lambda x: self._attention.split_heads(x).flip(1)",
    ),
    Mutation(
        "products of keys with queries",
        RECORDER,
        "q @ k.transpose(2, 3)",
        "k @ q.transpose(2, 3)",
    ),
    Mutation(
        "products scaled already",
        RECORDER,
        "q @ k.transpose(2, 3)",
        "q @ k.transpose(2, 3) * 0.5",
    ),
    Mutation("scores not scaled", RECORDER, " * q.shape[-1] ** -0.5", " * 1.0"),
    Mutation(
        "scores scaled by the model's dimension",
        RECORDER,
        "q.shape[-1] ** -0.5",
        "self._config.dim ** -0.5",
    ),
    Mutation("scores not masked", RECORDER, "if self._attend is not None", "if False"),
    Mutation(
        "scores masked where they should not be",
        RECORDER,
        "masked_fill(~self._attend, -math.inf)",
        "masked_fill(self._attend, -math.inf)",
    ),
    Mutation(
        "masked scores are 0",
        RECORDER,
        "masked_fill(~self._attend, -math.inf)",
        "masked_fill(~self._attend, 0)",
    ),
    Mutation(
        "products masked as well",
        RECORDER,
        "products=products,",
        "products=scores,",
    ),
    Mutation(
        "the weights are the scores",
        RECORDER,
        "weights=self._weights[number],",
        "weights=scores,",
    ),
    Mutation(
        "the weights of another layer",
        RECORDER,
        "self._weights[number]",
        "self._weights[number - 1]",
    ),
    Mutation(
        "the weights look the other way",
        RECORDER,
        "self._weights[number]",
        "self._weights[number].transpose(2, 3)",
    ),
    Mutation(
        "the weights of another head",
        RECORDER,
        "self._weights[number]",
        "self._weights[number].roll(1, 1)",
    ),
    Mutation(
        "the values not mixed",
        RECORDER,
        'mixed=split(at["attention.out_lin"][0])',
        "mixed=v",
    ),
    Mutation(
        "mixed values after the projection",
        RECORDER,
        'split(at["attention.out_lin"][0])',
        'split(at["attention.out_lin"][1])',
    ),
    Mutation(
        "the projection is what it read",
        RECORDER,
        'out_lin=at["attention.out_lin"][1]',
        'out_lin=at["attention.out_lin"][0]',
    ),
    # The rest of a block
    Mutation(
        "x is what the block returned",
        RECORDER,
        'x=at["attention.q_lin"][0]',
        'x=at["output_layer_norm"][1]',
    ),
    Mutation(
        "attended_plus_x without the residual",
        RECORDER,
        'attended_plus_x=at["sa_layer_norm"][0]',
        'attended_plus_x=at["attention.out_lin"][1]',
    ),
    Mutation(
        "attention not normalised",
        RECORDER,
        'sa_layer_norm=at["sa_layer_norm"][1]',
        'sa_layer_norm=at["sa_layer_norm"][0]',
    ),
    Mutation(
        "the norms swapped",
        RECORDER,
        'sa_layer_norm=at["sa_layer_norm"][1]',
        'sa_layer_norm=at["output_layer_norm"][1]',
    ),
    Mutation(
        "lin1 after the activation",
        RECORDER,
        'lin1=at["ffn.lin1"][1]',
        'lin1=at["ffn.lin2"][0]',
    ),
    Mutation(
        "the activation left out",
        RECORDER,
        'activation=at["ffn.lin2"][0]',
        'activation=at["ffn.lin1"][1]',
    ),
    Mutation(
        "the activation is that by tanh",
        RECORDER,
        'activation=at["ffn.lin2"][0]',
        'activation=torch.nn.functional.gelu(at["ffn.lin1"][1], approximate="tanh")',
    ),
    Mutation(
        "lin2 is what it was added to",
        RECORDER,
        'lin2=at["ffn.lin2"][1]',
        'lin2=at["sa_layer_norm"][1]',
    ),
    Mutation(
        "the feed-forward network's residual dropped",
        RECORDER,
        'fed_forward=at["output_layer_norm"][0]',
        'fed_forward=at["ffn.lin2"][1]',
    ),
    Mutation(
        "the block's output not normalised",
        RECORDER,
        'output_layer_norm=at["output_layer_norm"][1]',
        'output_layer_norm=at["output_layer_norm"][0]',
    ),
    Mutation(
        "every block is the first",
        RECORDER,
        'f"transformer.layer.{number}."',
        '"transformer.layer.0."',
    ),
    Mutation(
        "a block of another row",
        RECORDER,
        "on_cpu(self._blocks[number], row)",
        "on_cpu(self._blocks[number], row - 1)",
    ),
    Mutation(
        "what a layer returned is a little off",
        RECORDER,
        "seen[name] = inputs[0], output",
        "seen[name] = inputs[0], output * 1.001",
    ),
    Mutation(
        "the mask is not given to the model",
        RECORDER,
        "model(ids, mask, output_attentions=True, return_dict=True)",
        "model(ids, torch.ones_like(mask), output_attentions=True)",
    ),
    # The head of a classifier
    Mutation(
        "the pooled token from back to front",
        RECORDER,
        " cls, pre_classifier, relu,",
        " cls.flip(1), pre_classifier, relu,",
    ),
    Mutation(
        "pre_classifier after ReLU",
        RECORDER,
        " cls, pre_classifier, relu,",
        " cls, relu, relu,",
    ),
    Mutation(
        "ReLU left out",
        RECORDER,
        " cls, pre_classifier, relu,",
        " cls, pre_classifier, pre_classifier,",
    ),
    Mutation(
        "logits of another row",
        RECORDER,
        " logits, function, probabilities",
        " logits.roll(1, 0), function, probabilities",
    ),
    Mutation(
        "probabilities are the logits",
        RECORDER,
        " logits, function, probabilities",
        " logits, function, logits",
    ),
    Mutation(
        "labels exclude each other always",
        RECORDER,
        "function_for(self._config)",
        '"softmax"',
    ),
    Mutation(
        "softmax over the texts",
        RECORDER,
        "FUNCTIONS[function](logits)",
        "logits.softmax(0)",
    ),
    # The head for words
    Mutation(
        "the transform of other tokens",
        RECORDER,
        " transformed[at],",
        " transformed[row, [p - 1 for p in masks]],",
    ),
    Mutation(
        "the transform is what it read",
        RECORDER,
        "_, transformed = self",
        "transformed, _ = self",
    ),
    Mutation(
        "the words' activation normalised",
        RECORDER,
        " activation[at],",
        " normalised[at],",
    ),
    Mutation(
        "the words' norm left out",
        RECORDER,
        " normalised[at],",
        " activation[at],",
    ),
    Mutation(
        "the words of the first token",
        RECORDER,
        "self._out.logits[at]",
        "self._out.logits[row, [0 for _ in masks]]",
    ),
    Mutation(
        "words are compared across masks",
        RECORDER,
        "logits.softmax(dim=-1)",
        "logits.softmax(dim=0)",
    ),
    # The trace
    Mutation(
        "hidden states begin with the sum",
        TRACE,
        "            self.embeddings.LayerNorm,",
        "            self.embeddings.summed,",
    ),
    Mutation(
        "hidden states are taken in the middle of a block",
        TRACE,
        "*(block.output_layer_norm for",
        "*(block.sa_layer_norm for",
    ),
    Mutation(
        "attention before softmax",
        TRACE,
        "tuple(block.weights for",
        "tuple(block.scores for",
    ),
    Mutation("norms of each number", TRACE, "dim=-1", "dim=-1, ord=1"),
    Mutation(
        "the target is the least probable", TRACE, "answer.argmax()", "answer.argmin()"
    ),
    Mutation(
        "the answer is for the last mask",
        TRACE,
        "return self.head.probabilities[0]",
        "return self.head.probabilities[-1]",
    ),
    # The labels and the run
    Mutation(
        "labels counted from behind",
        MODEL,
        "config.id2label[target]",
        "config.id2label[self.model.config.num_labels - 1 - target]",
    ),
    Mutation(
        "words counted from one",
        MODEL,
        "convert_ids_to_tokens(target)",
        "convert_ids_to_tokens(target + 1)",
    ),
    Mutation(
        "all positions but one are used",
        EXPLAIN,
        "max_tokens(loaded.model.config, loaded.tokenizer)",
        "max_tokens(loaded.model.config, loaded.tokenizer) - 1",
    ),
    Mutation(
        "padding on the left", EXPLAIN, 'padding_side="right"', 'padding_side="left"'
    ),
    Mutation(
        "rows exchanged", EXPLAIN, "recording.block(i, row)", "recording.block(i, 0)"
    ),
    Mutation(
        "layers exchanged",
        EXPLAIN,
        "recording.block(i, row)",
        "recording.block(loaded.model.config.n_layers - 1 - i, row)",
    ),
    Mutation(
        "masks counted without [CLS]",
        EXPLAIN,
        "masks = tuple(i for",
        "masks = tuple(i - 1 for",
    ),
    # Tokens
    Mutation(
        "a token's end is its last character",
        READING,
        "Token(text, id, start, end, word",
        "Token(text, id, start, end and end - 1, word",
    ),
    Mutation(
        "padding is attended to",
        READING,
        "bool(attend)",
        "True",
    ),
    Mutation(
        "all tokens are of the first text",
        READING,
        "word, reading, bool",
        "word, reading and 0, bool",
    ),
    Mutation(
        "the places are those of the first row",
        READING,
        "encoded.token_to_chars(row, position)",
        "encoded.token_to_chars(0, position)",
    ),
    Mutation(
        "the words are those of the first row",
        READING,
        "encoded.word_ids(row),\n        encoded.sequence_ids",
        "encoded.word_ids(0),\n        encoded.sequence_ids",
    ),
    # Readings
    Mutation(
        "what was cut off is not counted",
        READING,
        "left_out = len(pieces) - kept",
        "left_out = 0",
    ),
    Mutation(
        "the whole text is counted as cut off",
        READING,
        "left_out = len(pieces) - kept",
        "left_out = len(pieces)",
    ),
    Mutation(
        "words that are not read are shown",
        READING,
        "for piece in pieces if piece.word <= last",
        "for piece in pieces",
    ),
    Mutation(
        "of a word that is cut off only the beginning is shown",
        READING,
        "for piece in pieces if piece.word <= last",
        "for piece in pieces[:kept]",
    ),
    Mutation(
        "a word ends with its first piece",
        READING,
        "max(end, piece.end)",
        "end",
    ),
    Mutation(
        "a word begins with its last piece",
        READING,
        "min(start, piece.start), max",
        "max(start, piece.start), max",
    ),
    Mutation(
        "attempts are not shown",
        READING,
        "return tuple(attempts(word, wordpiece.vocabulary))",
        "return ()",
    ),
    Mutation(
        "only what was found is shown",
        READING,
        "tuple(attempts(word, wordpiece.vocabulary))",
        "tuple(a for a in attempts(word, wordpiece.vocabulary) if a.found)",
    ),
    Mutation(
        "a word too long is looked up",
        READING,
        " or len(word) > LONGEST_WORD",
        "",
    ),
    Mutation(
        "the longest word is one letter shorter",
        READING,
        "len(word) > LONGEST_WORD",
        "len(word) >= LONGEST_WORD",
    ),
    Mutation(
        "the text is never clean",
        READING,
        "Reading(text, steps.cleaned,",
        "Reading(text, text,",
    ),
    Mutation(
        "the raw text is the clean one",
        READING,
        "Reading(text, steps.cleaned,",
        "Reading(steps.cleaned, steps.cleaned,",
    ),
    Mutation(
        "the steps are never shown",
        READING,
        "if pieces != steps.pieces:",
        "if True:",
    ),
    Mutation(
        "only the first window is read",
        READING,
        "left_out = len(pieces) - kept",
        "left_out = len(pieces[:46]) - kept",
    ),
]

TEXTS = [
    "I like [MASK] films.",
    "Crème BRÛLÉE tokenizers!",
    "the [MASK] is [MASK] " + "x" * 150 + " and " + "y" * 100,
    "unaffordable " * 200,
]
PAIRS = ["another text", "", "the film that", "naïve " * 20]


@dataclass(frozen=True)
class Case:
    """A checkpoint that was loaded, and what makes probabilities of its logits."""

    folder: Path
    model: PreTrainedModel
    tokenizer: DistilBertTokenizer
    function: str

    def traces(self, explainer: ModuleType, texts: list[str], **options: Any) -> Any:
        return explainer.compare(texts, self.model, tokenizer=self.tokenizer, **options)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    def case(kind, function, **config):
        folder = tmp_path_factory.mktemp("model")
        write_checkpoint(folder, kind.__name__, **config)
        tokenizer = DistilBertTokenizer.from_pretrained(folder)
        return Case(folder, kind.from_pretrained(folder), tokenizer, function)

    several = {"num_labels": 3, "problem_type": "multi_label_classification"}
    return [
        case(DistilBertForSequenceClassification, "softmax"),
        case(DistilBertForSequenceClassification, "sigmoid", **several),
        case(DistilBertForMaskedLM, "softmax"),
    ]


def check_all(explainer: ModuleType, cases: list[Case]) -> None:
    """Put small traces through every check."""
    first, *_, words = cases
    together = {"text_pairs": PAIRS, "padding": True}
    for case in cases:
        texts = [text for text in TEXTS if case is not words or "[MASK]" in text]
        pairs = PAIRS[: len(texts)]
        traces = case.traces(explainer, texts, text_pairs=pairs, padding=True)
        check_tokens(traces, case.folder, texts, pairs)
        for trace in traces:
            check_trace(trace, case.folder, case.function)
    traces = first.traces(explainer, TEXTS, **together)
    check_theirs(traces, first.folder, TEXTS, PAIRS)
    for trace, pair in zip(traces, PAIRS, strict=True):
        if pair:
            check_reading(trace, 1, pair, first.folder)
    plain = [text.replace("[MASK]", "film") for text in TEXTS]
    for text, trace in zip(plain, first.traces(explainer, plain), strict=True):
        check_reading(trace, 0, text, first.folder)


@pytest.mark.sample(15)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_broken_copy_is_caught(mutation, cases):
    assert source(mutation.room).count(mutation.old) == 1

    def mutate(room: str, text: str) -> str:
        if room != mutation.room:
            return text
        return text.replace(mutation.old, mutation.new)

    # Only a trace that differs counts: a copy that crashes would prove nothing.
    with copied_package(mutate, ROOMS) as rooms, pytest.raises(DifferenceError):
        check_all(rooms[EXPLAIN], cases)


def test_an_unbroken_copy_passes_by_the_same_route(cases):
    with copied_package(lambda room, text: text, ROOMS) as rooms:
        assert rooms[EXPLAIN].compare is not compare
        check_all(rooms[EXPLAIN], cases)


def test_no_two_mutations_are_the_same():
    texts = {(mutation.room, mutation.old, mutation.new) for mutation in MUTATIONS}
    assert len(texts) == len(MUTATIONS)
    assert all(mutation.old != mutation.new for mutation in MUTATIONS)
