"""Every task of a pipeline, with a small checkpoint's head and inputs to answer."""

from __future__ import annotations

from typing import Any

ENTAILMENT = {0: "contradiction", 1: "entailment"}
# A task: the head, its configuration, its options, and inputs.
TASKS: dict[str, tuple[str, dict[str, Any], dict[str, Any], list[Any]]] = {
    "text-classification": (
        *("DistilBertForSequenceClassification", {}, {}),
        ["a good film", {"text": "a film", "text_pair": "the man"}],
    ),
    "token-classification": (
        *("DistilBertForTokenClassification", {}, {}, ["I am in the house"]),
    ),
    "question-answering": (
        *("DistilBertForQuestionAnswering", {}, {}),
        [{"question": "who is it", "context": "it is the man of the house"}],
    ),
    "fill-mask": ("DistilBertForMaskedLM", {}, {}, ["the [MASK] is good"]),
    "zero-shot-classification": (
        "DistilBertForSequenceClassification",
        {"id2label": ENTAILMENT},
        {"candidate_labels": ["good", "bad"]},
        ["a film", "the man"],
    ),
    "multiple-choice": (
        *("DistilBertForMultipleChoice", {}, {}),
        [{"prompt": "the house is", "choices": ["good", "big"]}],
    ),
    "feature-extraction": ("DistilBertModel", {}, {}, ["a film"]),
    "sentence-embeddings": ("DistilBertModel", {}, {}, ["a film", "the man"]),
}
