"""Integrated gradients beside captum's on transformers' model, and beside calculus."""

from __future__ import annotations

import json
import math
import threading

import pytest
import torch
import transformers
from captum.attr import IntegratedGradients
from checkpoints import write_checkpoint

from minidistil.explainer import attribution, compare, explain
from minidistil.explainer.attribution import attribute
from minidistil.heads import DistilBertForSequenceClassification
from minidistil.hub import BUNDLED
from minidistil.tokenizer import DistilBertTokenizer

TEXT = "the unbelievably old man was not as bad as [MASK] film!"
CLASSIFIER = "DistilBertForSequenceClassification"
MASKED_LM = "DistilBertForMaskedLM"
KINDS = {
    "two labels": (CLASSIFIER, {}),
    "regression": (CLASSIFIER, {"num_labels": 1, "problem_type": "regression"}),
    "five labels at once": (
        CLASSIFIER,
        {"num_labels": 5, "problem_type": "multi_label_classification"},
    ),
    "masked words": (MASKED_LM, {}),
}


@pytest.fixture(scope="module", params=KINDS)
def checkpoint(request, tmp_path_factory):
    architecture, config = KINDS[request.param]
    folder = tmp_path_factory.mktemp("checkpoint")
    return write_checkpoint(folder, architecture, **config), architecture


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("classifier"), num_labels=3)


@pytest.fixture(scope="module")
def masked_lm(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("masked"), MASKED_LM)


@pytest.fixture(scope="module")
def double(classifier):
    """A model in float64, where finite differences are exact to many places."""
    model = DistilBertForSequenceClassification.from_pretrained(
        classifier, dtype=torch.float64
    )
    return model, DistilBertTokenizer.from_pretrained(classifier)


class Reference:
    """transformers' model as a function of the word vectors, in float64."""

    def __init__(self, folder, architecture, text=TEXT):
        self.model = getattr(transformers, architecture).from_pretrained(folder)
        self.model = self.model.double().eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.ids = tokenizer(text, return_tensors="pt")["input_ids"]
        kept = (self.ids == tokenizer.cls_token_id) | (
            self.ids == tokenizer.sep_token_id
        )
        self.masks = (self.ids[0] == tokenizer.mask_token_id).nonzero()[:, 0]
        self.vector_of = self.model.get_input_embeddings()
        self.changed = torch.where(kept, self.ids, tokenizer.pad_token_id)
        with torch.no_grad():
            self.words = self.vector_of(self.ids)

    @torch.no_grad()
    def baseline(self, mask=0):
        """The asked mask stays."""
        ids, asked = self.changed.clone(), self.masks[mask : mask + 1]
        if "MaskedLM" in type(self.model).__name__:
            ids[0, asked] = self.ids[0, asked]
        return self.vector_of(ids)

    def logits(self, vectors, mask=0):
        logits = self.model(inputs_embeds=vectors).logits
        return logits if logits.ndim == 2 else logits[:, self.masks[mask]]

    def integrated_gradients(self, target, mask=0):
        shares = IntegratedGradients(lambda x: self.logits(x, mask)).attribute(
            self.words,
            self.baseline(mask),
            target=target,
            n_steps=600,
            method="riemann_trapezoid",
            internal_batch_size=200,
        )
        return shares[0].sum(dim=-1)


def assert_close(ours, theirs, tolerance):
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def test_the_shares_are_captums(checkpoint):
    folder, architecture = checkpoint
    trace = explain(TEXT, folder)
    ours = attribute(trace, tolerance=1e-3)
    theirs = Reference(folder, architecture).integrated_gradients(ours.target)
    assert ours.reached
    # Ours add up to 0.1 %, and so may each of them be off; captum's are far closer.
    assert_close(ours.tokens, theirs, 2e-3)


def test_every_label_has_its_own_shares(classifier):
    trace, reference = explain(TEXT, classifier), Reference(classifier, CLASSIFIER)
    for target in range(3):
        ours = attribute(trace, target, tolerance=1e-3)
        assert_close(ours.tokens, reference.integrated_gradients(target), 2e-3)


def test_the_second_mask_has_its_own_shares(masked_lm):
    text = "a [MASK] man and a [MASK] film"
    reference = Reference(masked_lm, MASKED_LM, text)
    ours = attribute(explain(text, masked_lm), "house", mask=1, tolerance=1e-3)
    theirs = reference.integrated_gradients(ours.target, mask=1)
    assert ours.name == "house"
    assert_close(ours.tokens, theirs, 2e-3)


def test_the_shares_of_the_trained_model_are_captums():
    ours = attribute(explain("Good!", "tiny"), tolerance=2e-3)
    reference = Reference(BUNDLED["tiny"], CLASSIFIER, "Good!")
    assert_close(ours.tokens, reference.integrated_gradients(ours.target), 4e-3)


def test_the_logits_at_both_ends_are_transformers_own(checkpoint):
    folder, architecture = checkpoint
    reference = Reference(folder, architecture)
    ours = attribute(explain(TEXT, folder), max_steps=1)
    with torch.no_grad():
        logit = reference.logits(reference.words)[0, ours.target]
        baseline = reference.logits(reference.baseline())[0, ours.target]
    assert ours.logit == pytest.approx(float(logit), rel=1e-4)
    assert ours.baseline == pytest.approx(float(baseline), rel=1e-4)


def test_one_step_is_the_mean_of_the_two_slopes_by_finite_differences(double):
    model, tokenizer = double
    ours = attribute(explain(TEXT, model, tokenizer=tokenizer), max_steps=1)
    ids = torch.tensor([tokenizer(TEXT)["input_ids"]])
    kept = torch.isin(
        ids, torch.tensor([tokenizer.cls_token_id, tokenizer.sep_token_id])
    )
    with torch.no_grad():
        vector_of = model.get_input_embeddings()
        words, start = vector_of(ids), vector_of(ids.where(kept, torch.tensor(0)))
        way, step = words - start, 1e-6
        expected = []
        for token in range(ids.shape[1]):
            alone = torch.zeros_like(way)
            alone[0, token] = way[0, token]
            ends = [
                model(inputs_embeds=at + sign * step * alone).logits[0, ours.target]
                for at in (words, start)
                for sign in (1, -1)
            ]
            slopes = [(ends[0] - ends[1]) / 2 / step, (ends[2] - ends[3]) / 2 / step]
            expected.append(float(sum(slopes)) / 2)
    assert_close(ours.tokens, torch.tensor(expected), 1e-5)


def test_the_shares_add_up_to_the_change_of_the_logit():
    for text in (
        "Not bad",
        "I hate this so much!",
        "a [MASK] of \u4f60\u597d \U0001f600",
    ):
        ours = attribute(explain(text, "tiny"))
        change = ours.logit - ours.baseline
        assert ours.reached
        assert ours.error <= 0.01
        assert abs(float(ours.tokens.sum()) - change) <= 0.01 * abs(change)


def test_the_error_is_that_of_the_sum():
    ours = attribute(explain("I hate this so much!", "tiny"), max_steps=5)
    change = ours.logit - ours.baseline
    expected = abs(float(ours.tokens.double().sum()) - change) / abs(change)
    assert ours.error == pytest.approx(expected, abs=1e-5)


def test_too_few_steps_are_not_hidden():
    ours = attribute(explain("I hate this so much!", "tiny"), max_steps=10)
    assert ours.steps == 10
    assert not ours.reached


def test_a_smaller_tolerance_takes_more_steps():
    trace = explain("I hate this!", "tiny")
    rough, fine = attribute(trace, tolerance=0.1), attribute(trace, tolerance=0.005)
    assert rough.steps < fine.steps
    assert fine.reached
    assert fine.error <= 0.005


def test_an_empty_text_is_its_own_baseline(checkpoint):
    folder, architecture = checkpoint
    text = "[PAD]" if architecture == CLASSIFIER else "[PAD] [MASK]"
    ours = attribute(explain(text, folder), max_steps=4)
    others = [
        i for i, token in enumerate(explain(text, folder).tokens) if not token.word
    ]
    assert not ours.tokens[others].any()
    assert math.isfinite(ours.logit)


def test_without_words_there_is_nothing_to_share(classifier):
    ours = attribute(explain("", classifier))
    assert ours.tokens.tolist() == [0.0, 0.0]
    assert ours.words == ((),)
    assert (ours.error, ours.reached, ours.steps) == (0.0, True, 8)


def test_roundings_of_a_logit_are_no_difference(classifier, monkeypatch):
    exact = attribution._Path._at

    def rounded(path, points):
        """What another processor makes of the same logit in another row of a batch."""
        logits, slopes = exact(path, points)
        signs = torch.arange(len(points)) % 3 - 1
        return logits * (1 + signs * 2e-7), slopes

    monkeypatch.setattr(attribution._Path, "_at", rounded)
    ours = attribute(explain("", classifier))
    assert ours.logit != ours.baseline
    assert (ours.error, ours.reached, ours.steps) == (0.0, True, 8)


def test_the_mask_that_is_asked_stays_in_the_baseline_alone(masked_lm):
    trace = explain("the [MASK] is a [MASK] film", masked_lm)
    (first, second), reference = trace.head.masks, Reference(masked_lm, MASKED_LM)
    ids = torch.tensor([[token.id for token in trace.tokens]])
    for mask, asked, other in ((0, first, second), (1, second, first)):
        ours = attribute(trace, mask=mask, max_steps=1)
        assert ours.tokens[asked] == 0.0
        assert ours.tokens[other] != 0.0
        kept = torch.zeros_like(ids, dtype=torch.bool)
        kept[0, [0, asked, -1]] = True
        with torch.no_grad():
            vectors = reference.vector_of(ids.where(kept, torch.tensor(0)))
            logits = reference.model(inputs_embeds=vectors).logits
        expected = float(logits[0, asked, ours.target])
        assert ours.baseline == pytest.approx(expected, rel=1e-4)


def test_a_written_cls_is_part_of_the_text(classifier):
    ours = attribute(explain("a [CLS] film", classifier), max_steps=1)
    assert [bool(share) for share in ours.tokens] == [False, True, True, True, False]


@pytest.mark.parametrize("count", [4000, 2])
def test_a_label_is_found_by_the_name_that_is_shown(tmp_path, count):
    labels = [f"label {i}" for i in range(count)]
    folder = write_checkpoint(tmp_path, id2label=dict(enumerate(labels)))
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["label2id"] = {label: count - 1 - i for i, label in enumerate(labels)}
    path.write_text(json.dumps(config))
    with pytest.warns(UserWarning, match="named by id2label"):
        trace = explain("a film", folder)
    assert attribute(trace, "label 1", max_steps=1).target == 1


def test_a_word_is_found_where_there_are_as_many_labels(tmp_path):
    folder = write_checkpoint(tmp_path, MASKED_LM, num_labels=4000)
    trace = explain("a [MASK]", folder)
    word = trace.subject.name_of(1234)
    assert attribute(trace, word, max_steps=1).target == 1234


def test_a_name_that_several_labels_have_is_an_error(tmp_path):
    trace = explain("a", write_checkpoint(tmp_path, id2label={0: "A", 1: "B", 2: "B"}))
    assert attribute(trace, "A", max_steps=1).target == 0
    with pytest.raises(ValueError, match="answers 1, 2 are all named 'B': give the"):
        attribute(trace, "B")


def test_a_word_has_the_sum_of_its_tokens():
    trace = explain("unbelievably stupid!", "tiny")
    ours = attribute(trace)
    assert [word.text for word in trace.readings[0].words] == [
        "unbelievably",
        "stupid",
        "!",
    ]
    pieces = [i for i, token in enumerate(trace.tokens) if token.word == 0]
    assert len(pieces) > 1
    assert ours.words[0][0] == pytest.approx(float(ours.tokens[pieces].sum()), abs=1e-5)
    total = sum(ours.words[0]) + ours.specials
    assert total == pytest.approx(float(ours.tokens.sum()), abs=1e-5)


def test_each_text_of_a_pair_has_its_own_words(classifier):
    trace = explain("the old man", classifier, text_pair="a film")
    ours = attribute(trace)
    assert [len(words) for words in ours.words] == [3, 2]
    # [CLS] the old man [SEP] a film [SEP]
    assert ours.words[0] == pytest.approx(ours.tokens[1:4].tolist(), abs=1e-6)
    assert ours.words[1] == pytest.approx(ours.tokens[5:7].tolist(), abs=1e-6)
    assert ours.specials == 0


def test_padding_changes_no_share(classifier):
    texts = ["the old man", "a film that was not as bad as the old one"]
    alone = attribute(explain(texts[0], classifier))
    padded = attribute(compare(texts, classifier, padding=True)[0])
    assert_close(padded.tokens[: len(alone.tokens)], alone.tokens, 1e-4)
    assert not padded.tokens[len(alone.tokens) :].any()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_callers_gradient_mode_does_not_matter(classifier, mode):
    expected = attribute(explain(TEXT, classifier)).tokens
    with mode():
        ours = attribute(explain(TEXT, classifier)).tokens
    assert torch.equal(ours, expected)
    assert not ours.is_inference()


def test_the_callers_model_is_left_as_it_was(double):
    model, tokenizer = double
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.distilbert.embeddings.requires_grad_(False)
    flags = [parameter.requires_grad for parameter in model.parameters()]
    attribute(explain(TEXT, model, tokenizer=tokenizer))
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert all(parameter.grad is None for parameter in model.parameters())
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    model.requires_grad_(True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_in_16_bits_is_computed_in_32(classifier, tmp_path, dtype):
    tokenizer = DistilBertTokenizer.from_pretrained(classifier)
    half = DistilBertForSequenceClassification.from_pretrained(classifier, dtype=dtype)
    half.save_pretrained(tmp_path)
    wide = DistilBertForSequenceClassification.from_pretrained(tmp_path)
    expected = attribute(explain(TEXT, wide, tokenizer=tokenizer), 1)
    ours = attribute(explain(TEXT, half, tokenizer=tokenizer), 1)
    assert torch.equal(ours.tokens, expected.tokens)
    assert half.dtype == dtype


def test_threads_get_the_same_shares(classifier):
    trace = explain(TEXT, classifier)
    expected, found = attribute(trace).tokens, []
    threads = [
        threading.Thread(target=lambda: found.append(attribute(trace).tokens))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for tokens in found:
        assert_close(tokens, expected, 1e-5)


def test_the_default_target_is_the_most_probable_answer(classifier):
    trace = explain(TEXT, classifier)
    assert attribute(trace).target == trace.target
    assert attribute(trace).name == trace.label


def test_a_label_can_be_named():
    trace = explain("Not bad", "tiny")
    assert attribute(trace, "NEGATIVE").target == 0
    assert attribute(trace, "POSITIVE").target == 1


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("positive", ValueError, "no answer 'positive', expected one of NEGATIVE, POS"),
        (2, IndexError, "target is 2, expected 0 to 1"),
        (-1, IndexError, "target is -1, expected 0 to 1"),
        (0.5, TypeError, r"target is 0\.5, expected a number"),
    ],
)
def test_a_target_that_there_is_not_is_an_error(target, error, message):
    with pytest.raises(error, match=message):
        attribute(explain("Not bad", "tiny"), target)


def test_a_word_outside_the_vocabulary_is_an_error(masked_lm):
    with pytest.raises(ValueError, match="no answer 'xyzzyx', expected one token"):
        attribute(explain(TEXT, masked_lm), "xyzzyx")


def test_a_mask_that_there_is_not_is_an_error(masked_lm):
    with pytest.raises(IndexError, match="mask is 1, expected 0: the number of a"):
        attribute(explain(TEXT, masked_lm), mask=1)
    with pytest.raises(IndexError, match="mask is 1, expected 0: a classifier gives"):
        attribute(explain("Not bad", "tiny"), mask=1)


def test_a_trace_without_an_answer_says_why(masked_lm, tmp_path):
    with pytest.raises(ValueError, match=r"no answer to explain: there is no \[MA"):
        attribute(explain("a film", masked_lm))
    folder = write_checkpoint(tmp_path, "DistilBertForQuestionAnswering")
    with pytest.raises(ValueError, match="no answer to explain: qa_outputs"):
        attribute(explain("a film", folder))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": -0.1}, "tolerance is -0.1, expected 0 or more"),
        ({"tolerance": math.nan}, "tolerance is nan, expected 0 or more"),
        ({"max_steps": 0}, "max_steps is 0, expected an integer of at least 1"),
    ],
)
def test_impossible_wishes_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        attribute(explain("Not bad", "tiny"), **options)


def test_progress_is_shown_only_if_wanted(capsys):
    trace = explain("Not bad", "tiny")
    attribute(trace)
    assert capsys.readouterr().err == ""
    attribute(trace, progress=True)
    assert "attribution" in capsys.readouterr().err
