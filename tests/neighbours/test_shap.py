"""shap's values of the words of a text, through our pipeline and our tokenizer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shap
import torch
from checkpoints import draw_lively
from snippets import assert_same_results
from torch import nn

pytestmark = pytest.mark.full

TEXTS = ["the film was unbelievably good, but its end!", "far too long"]
NAMES = ["bad", "fair", "good"]


@torch.no_grad()
def draw_undecided(model: nn.Module, generator: torch.Generator) -> None:
    """Draw logits between which no label is sure."""
    draw_lively(model, generator)
    for parameter in model.classifier.parameters():
        parameter *= 0.05


@pytest.fixture(scope="module")
def folder(folder_of):
    labels = {name: i for i, name in enumerate(NAMES)}
    return folder_of(
        draw=draw_undecided, id2label=dict(enumerate(NAMES)), label2id=labels
    )


def values_of(explanation: Any) -> list[Any]:
    """The texts in pieces, the value of each piece for each label, and the base."""
    return [
        [[str(piece) for piece in pieces] for pieces in explanation.data],
        [values.tolist() for values in explanation.values],
        np.asarray(explanation.base_values).tolist(),
    ]


def test_a_function_around_the_pipeline(folder):
    def snippet(library):
        classifier = library.pipeline("text-classification", model=str(folder))
        tokenizer = library.AutoTokenizer.from_pretrained(folder)

        def scores(texts):
            found = classifier(texts.tolist(), top_k=None)
            rows = [{one["label"]: one["score"] for one in row} for row in found]
            return np.array([[row[name] for name in NAMES] for row in rows])

        masker = shap.maskers.Text(tokenizer)
        explainer = shap.Explainer(scores, masker, output_names=NAMES, seed=0)
        return values_of(explainer(TEXTS, max_evals=60))

    _, values, _ = assert_same_results(snippet, tolerance=1e-4)
    assert np.abs(values[0]).max() > 0.01


def test_the_pipeline_in_shap_s_own_wrapper(folder):
    def snippet(library):
        classifier = library.pipeline(
            "text-classification", model=str(folder), top_k=None
        )
        explainer = shap.Explainer(
            shap.models.TransformersPipeline(classifier),
            shap.maskers.Text(classifier.tokenizer),
            seed=0,
        )
        explanation = explainer(TEXTS, max_evals=60)
        return [*values_of(explanation), [*map(str, explanation.output_names)]]

    assert_same_results(snippet, tolerance=1e-4)


def test_log_odds_in_shap_s_own_wrapper(folder):
    def snippet(library):
        classifier = library.pipeline(
            "text-classification", model=str(folder), top_k=None
        )
        wrapped = shap.models.TransformersPipeline(classifier, rescale_to_logits=True)
        masker = shap.maskers.Text(classifier.tokenizer, mask_token="...")
        return values_of(shap.Explainer(wrapped, masker, seed=0)(TEXTS, max_evals=60))

    assert_same_results(snippet, tolerance=1e-2)


@pytest.mark.parametrize("output_type", ["string", "token_ids"])
def test_the_masker_hides_the_same_pieces(folder, output_type):
    def snippet(library):
        tokenizer = library.DistilBertTokenizer.from_pretrained(folder)
        masker = shap.maskers.Text(tokenizer, output_type=output_type)
        text = TEXTS[0]
        shape = masker.shape(text)[1]
        masks = np.random.default_rng(0).random((6, shape)) < 0.5
        hidden = [np.asarray(masker(mask, text)[0]).tolist() for mask in masks]
        return [
            shape,
            hidden,
            [str(piece) for piece in masker.feature_names(text)[0]],
            masker.clustering(text).tolist(),
            masker.invariants(text).tolist(),
        ]

    assert_same_results(snippet)
