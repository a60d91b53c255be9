"""The logit lens beside transformers' own head on its own hidden states."""

from __future__ import annotations

import pytest
import torch
import transformers
from checkpoints import write_checkpoint

from minidistil.explainer import compare, explain
from minidistil.explainer.lens import lens
from minidistil.heads import DistilBertForSequenceClassification
from minidistil.hub import BUNDLED
from minidistil.tokenizer import DistilBertTokenizer

TEXT = "the old man was not as bad as [MASK] [MASK]!"
CLASSIFIER = "DistilBertForSequenceClassification"
MASKED_LM = "DistilBertForMaskedLM"


def functions(config):
    if config.problem_type == "regression":
        return lambda logits: logits
    if config.problem_type == "multi_label_classification":
        return torch.sigmoid
    return lambda logits: logits.softmax(dim=-1)


@pytest.fixture(
    scope="module",
    params=["single_label_classification", "multi_label_classification", "regression"],
)
def classifier(request, tmp_path_factory):
    labels = 1 if request.param == "regression" else 4
    return write_checkpoint(
        tmp_path_factory.mktemp("checkpoint"),
        num_labels=labels,
        problem_type=request.param,
    )


@pytest.fixture(scope="module")
def masked_lm(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("masked"), MASKED_LM)


@torch.no_grad()
def through_transformers_head(folder, text):
    """Return the logits of a classifier's head on all hidden states, and its model."""
    model = transformers.DistilBertForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    out = model.eval()(**tokenizer(text, return_tensors="pt"), output_hidden_states=1)
    logits = [
        model.classifier(model.pre_classifier(state[0, 0]).relu())
        for state in out.hidden_states
    ]
    return torch.stack(logits), model


@torch.no_grad()
def through_transformers_vocabulary(folder, text):
    """Return the logits of a masked LM's head on all hidden states, (L + 1, T, V)."""
    model = transformers.DistilBertForMaskedLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    out = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
    states = torch.cat(out.hidden_states)
    x = torch.nn.functional.gelu(model.vocab_transform(states))
    return model.vocab_projector(model.vocab_layer_norm(x))


def assert_close(ours, theirs):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def test_a_classifiers_lens_is_transformers_head_on_its_hidden_states(classifier):
    expected, model = through_transformers_head(classifier, TEXT)
    ours = lens(explain(TEXT, classifier))
    assert_close(ours.logits, expected)
    assert_close(ours.probabilities, functions(model.config)(expected))


def test_the_trained_models_lens_too():
    expected, _ = through_transformers_head(BUNDLED["tiny"], "I hate this!")
    assert_close(lens(explain("I hate this!", "tiny")).logits, expected)


@pytest.mark.parametrize("mask", [0, 1])
def test_a_masks_lens_is_transformers_head_on_its_hidden_states(masked_lm, mask):
    trace = explain(TEXT, masked_lm)
    ours = lens(trace, mask)
    expected = through_transformers_vocabulary(masked_lm, TEXT)
    expected = expected[:, trace.head.masks[mask]]
    assert_close(ours.logits, expected)
    assert_close(ours.probabilities, expected.softmax(dim=-1))


def test_the_last_row_is_the_models_own_to_the_bit(classifier):
    for trace in compare([TEXT, "a film"], classifier, padding=True):
        ours = lens(trace)
        assert torch.equal(ours.logits[-1], trace.head.logits)
        assert torch.equal(ours.probabilities[-1], trace.head.probabilities)


@pytest.mark.parametrize("mask", [0, 1])
def test_the_last_row_of_a_mask_is_the_models_own_to_the_bit(masked_lm, mask):
    trace = explain(TEXT, masked_lm)
    ours = lens(trace, mask)
    assert torch.equal(ours.logits[-1], trace.head.logits[mask])
    assert torch.equal(ours.probabilities[-1], trace.head.probabilities[mask])


def test_a_model_in_16_bits_has_a_lens_in_16_bits(tmp_path):
    folder = write_checkpoint(tmp_path)
    model = DistilBertForSequenceClassification.from_pretrained(
        folder, dtype=torch.bfloat16
    )
    tokenizer = DistilBertTokenizer.from_pretrained(folder)
    trace = explain(TEXT, model, tokenizer=tokenizer)
    ours = lens(trace)
    expected, _ = through_transformers_head(folder, TEXT)
    assert ours.logits.dtype == torch.bfloat16
    assert torch.equal(ours.logits[-1], trace.head.logits)
    assert (ours.logits - expected).abs().max() <= 0.05 * expected.abs().max()


def test_a_trace_without_an_answer_says_why(masked_lm):
    with pytest.raises(ValueError, match=r"no answer to explain: there is no \[MA"):
        lens(explain("a film", masked_lm))


def test_a_mask_that_there_is_not_is_an_error(masked_lm):
    with pytest.raises(IndexError, match="mask is 2, expected 0 to 1"):
        lens(explain(TEXT, masked_lm), 2)
