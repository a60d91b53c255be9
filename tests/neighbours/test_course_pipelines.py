"""Chapter 1 of the Hugging Face course: a pipeline for each task.

Its classifier of sentences, and chapter 2, are in `tests/test_course.py`.
"""

from __future__ import annotations

import pytest
import torch
from answers import assert_answers
from checkpoints import draw_lively
from snippets import OURS, THEIRS, assert_same_results

pytestmark = pytest.mark.full

SENTENCE = "I've been waiting for a HuggingFace course my whole life."
NAMES = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]


def test_zero_shot_classification(folder_of):
    names = ["contradiction", "neutral", "entailment"]
    labels = {name: i for i, name in enumerate(names)}
    folder = folder_of(
        draw=draw_lively, id2label=dict(enumerate(names)), label2id=labels
    )

    def snippet(library):
        classifier = library.pipeline("zero-shot-classification", model=str(folder))
        return classifier(
            "This is a course about the Transformers library",
            candidate_labels=["education", "politics", "business"],
        )

    assert_same_results(snippet)


def test_mask_filling(folder_of):
    folder = folder_of("DistilBertForMaskedLM", draw=draw_lively)

    def snippet(library):
        unmasker = library.pipeline("fill-mask", model=str(folder))
        return unmasker("This course is all about [MASK] models.", top_k=2)

    assert_same_results(snippet)


def test_named_entity_recognition(folder_of):
    names = {"id2label": dict(enumerate(NAMES))}
    folder = folder_of("DistilBertForTokenClassification", draw=draw_lively, **names)

    def snippet(library):
        ner = library.pipeline("ner", model=str(folder), aggregation_strategy="simple")
        return ner("My name is Sylvain and I work at Hugging Face in Brooklyn.")

    assert_same_results(snippet)


def test_entities_are_grouped_by_the_older_name_too(folder_of):
    names = {"id2label": dict(enumerate(NAMES))}
    folder = folder_of("DistilBertForTokenClassification", draw=draw_lively, **names)
    text = "My name is Sylvain and I work at Hugging Face in Brooklyn."
    ner = OURS.pipeline("ner", model=str(folder), grouped_entities=True)
    theirs = THEIRS.pipeline("ner", str(folder), aggregation_strategy="simple")
    assert_answers(ner(text), theirs(text), 1e-5)


def test_question_answering(folder_of, old):
    folder = folder_of("DistilBertForQuestionAnswering", draw=draw_lively)
    asked = {
        "question": "Where do I work?",
        "context": "My name is Sylvain and I work at Hugging Face in Brooklyn",
    }
    question_answerer = OURS.pipeline("question-answering", model=str(folder))
    ours = question_answerer(**asked)
    assert_answers(ours, old.ask(folder, {"model_max_length": 48}, **asked), 1e-5)


def test_a_feature_for_each_token(folder_of):
    folder = folder_of("DistilBertModel")

    def snippet(library):
        extractor = library.pipeline("feature-extraction", model=str(folder))
        return extractor(SENTENCE)

    assert_same_results(snippet)


def test_a_model_from_a_configuration(tmp_path):
    def snippet(library):
        config = library.DistilBertConfig(dim=32, n_heads=2, hidden_dim=16, n_layers=1)
        model = library.DistilBertModel(config)
        folder = tmp_path / library.__name__
        model.save_pretrained(folder)
        again = library.DistilBertModel.from_pretrained(folder)
        encoded = torch.tensor([[101, 7592, 999, 102], [101, 4658, 1012, 102]])
        with torch.no_grad():
            same = torch.equal(again(encoded)[0], model.eval()(encoded)[0])
        return [sorted(path.name for path in folder.iterdir()), same]

    assert_same_results(snippet)
