"""captum on our models, as its tutorials for BERT do it; see the same on transformers'.

The attributions of `explain` are compared with captum's in `tests/explainer`.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from captum.attr import (
    InputXGradient,
    LayerConductance,
    LayerIntegratedGradients,
    configure_interpretable_embedding_layer,
    remove_interpretable_embedding_layer,
)
from checkpoints import draw_lively
from snippets import assert_same_results, load

pytestmark = pytest.mark.full

TEXT = "the film was unbelievably long"
QUESTION, CONTEXT = "what was good?", "the film was too long but its end was good."
STEPS = 8


def with_baseline(tokenizer: Any, *texts: str) -> tuple[dict[str, Any], torch.Tensor]:
    """A text's inputs, and as many ids of which only the special tokens are kept."""
    inputs = tokenizer(*texts, return_tensors="pt")
    ids = inputs["input_ids"]
    special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
    return inputs, ids.where(special, torch.tensor(tokenizer.pad_token_id))


@pytest.fixture(scope="module")
def classifier(folder_of):
    return folder_of(draw=draw_lively, num_labels=3)


@pytest.fixture(scope="module")
def answering(folder_of):
    return folder_of("DistilBertForQuestionAnswering", draw=draw_lively)


@pytest.mark.parametrize("target", [0, 2])
@pytest.mark.parametrize("layer", ["embeddings", "embeddings.word_embeddings"])
@pytest.mark.filterwarnings("error:no attention_mask")
def test_integrated_gradients_of_a_layer(classifier, layer, target):
    def snippet(library):
        model, tokenizer = load(library, "SequenceClassification", classifier)
        inputs, baseline = with_baseline(tokenizer, TEXT)

        def forward(ids, mask):
            return model(ids, attention_mask=mask).logits

        lig = LayerIntegratedGradients(forward, model.distilbert.get_submodule(layer))
        attributions, delta = lig.attribute(
            inputs=inputs["input_ids"],
            baselines=baseline,
            additional_forward_args=(inputs["attention_mask"],),
            target=target,
            n_steps=STEPS,
            internal_batch_size=4,
            return_convergence_delta=True,
        )
        return [attributions.detach(), delta.detach()]

    attributions, _ = assert_same_results(snippet)
    assert attributions.abs().max() > 0.1


@pytest.mark.parametrize("position", [0, 1], ids=["start", "end"])
def test_where_an_answer_starts_and_ends(answering, position):
    def snippet(library):
        model, tokenizer = load(library, "QuestionAnswering", answering)
        inputs, baseline = with_baseline(tokenizer, QUESTION, CONTEXT)

        def forward(ids, mask):
            found = model(ids, attention_mask=mask)
            return (found.start_logits, found.end_logits)[position].max(1).values

        lig = LayerIntegratedGradients(forward, model.distilbert.embeddings)
        attributions = lig.attribute(
            inputs=inputs["input_ids"],
            baselines=baseline,
            additional_forward_args=(inputs["attention_mask"],),
            n_steps=STEPS,
        )
        summed = attributions.sum(dim=-1).squeeze(0)
        return [(summed / torch.norm(summed)).detach(), forward(**renamed(inputs))]

    def renamed(inputs):
        return {"ids": inputs["input_ids"], "mask": inputs["attention_mask"]}

    with torch.no_grad():
        assert_same_results(snippet, tolerance=1e-4)


@pytest.mark.parametrize("part", ["", "output_layer_norm"])
def test_what_each_layer_conducts(answering, part):
    def snippet(library):
        model, tokenizer = load(library, "QuestionAnswering", answering)
        inputs, baseline = with_baseline(tokenizer, QUESTION, CONTEXT)
        words_of = model.get_input_embeddings()

        def forward(vectors, mask):
            return model(inputs_embeds=vectors, attention_mask=mask)[0].max(1).values

        found = []
        for layer in model.distilbert.transformer.layer:
            conductance = LayerConductance(forward, layer.get_submodule(part))
            attributions = conductance.attribute(
                inputs=words_of(inputs["input_ids"]),
                baselines=words_of(baseline),
                additional_forward_args=(inputs["attention_mask"],),
                n_steps=STEPS,
            )
            found.append(attributions.detach())
        return found

    assert_same_results(snippet, tolerance=1e-4)


def test_an_interpretable_embedding_takes_the_layer_s_place(classifier):
    def snippet(library):
        model, tokenizer = load(library, "SequenceClassification", classifier)
        inputs, _ = with_baseline(tokenizer, TEXT)
        name = "distilbert.embeddings.word_embeddings"
        layer = configure_interpretable_embedding_layer(model, name)
        vectors = layer.indices_to_embeddings(inputs["input_ids"])

        def forward(vectors, mask):
            return model(inputs_embeds=vectors, attention_mask=mask).logits

        attributions = InputXGradient(forward).attribute(
            vectors, additional_forward_args=(inputs["attention_mask"],), target=1
        )
        remove_interpretable_embedding_layer(model, layer)
        return [attributions.detach(), model(**inputs).logits.detach()]

    assert_same_results(snippet, tolerance=1e-4)
