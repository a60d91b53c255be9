"""What people bring from transformers: its keywords, hooks, classes and habits."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
import transformers
from answers import assert_answers, reference_pipeline
from checkpoints import draw_lively
from torch import nn

from minidistil import (
    DistilBertForSequenceClassification,
    DistilBertTokenizer,
    Engine,
    TextClassificationPipeline,
    explain,
    pipeline,
)

TEXTS = ["a good film", "the man"]


@pytest.fixture(scope="module")
def folder(folder_of):
    return folder_of(draw=draw_lively)


@pytest.fixture(scope="module")
def tokenizer(folder):
    return DistilBertTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def model(folder):
    return DistilBertForSequenceClassification.from_pretrained(folder)


# Keywords ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "keywords",
    [
        {"framework": "pt"},
        {"device_map": "cpu"},
        {"device_map": {"": "cpu"}},
        {"use_fast": True},
        {"trust_remote_code": False},
        {"feature_extractor": None, "image_processor": None, "processor": None},
        {"model_kwargs": {"low_cpu_mem_usage": True}},
        {"model_kwargs": {}},
        {"num_workers": 2},
        {"binary_output": False},
        {"device": -1, "batch_size": np.int64(2)},
        {"pipeline_class": TextClassificationPipeline},
    ],
    ids=str,
)
def test_a_keyword_that_changes_nothing_is_accepted(folder, keywords):
    pipe = pipeline("text-classification", folder, **keywords)
    assert pipe(TEXTS) == pipeline("text-classification", folder)(TEXTS)


@pytest.mark.parametrize(
    "keywords",
    [
        {"torch_dtype": torch.float16},
        {"model_kwargs": {"torch_dtype": "float16"}},
        {"model_kwargs": {"dtype": torch.float16}},
    ],
    ids=str,
)
def test_a_type_may_be_given_under_its_other_names(folder, keywords):
    assert pipeline("text-classification", folder, **keywords).dtype == torch.float16


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"framework": "tf"}, "framework='tf': the models here are PyTorch's"),
        ({"feature_extractor": "x"}, "texts need a tokenizer and nothing else"),
        ({"config": "x"}, r"from_pretrained\(…, config=…\)"),
        ({"model_kwargs": {"load_in_8bit": True}}, r"precision=…\) runs in fewer bits"),
        ({"model_kwargs": {"cache": 1}}, "did you mean 'cache_dir'"),
        ({"pipeline_class": int}, "expected a subclass of a pipeline of minidistil"),
    ],
)
def test_a_keyword_that_asks_for_more_says_what_to_use(folder, keywords, message):
    with pytest.raises(TypeError, match=message):
        pipeline("text-classification", folder, **keywords)


@pytest.mark.parametrize(
    "keywords",
    [
        {"dtype": "float32", "torch_dtype": "float16"},
        {"device": "cpu", "device_map": "meta"},
        {"dtype": "float32", "model_kwargs": {"dtype": "float16"}},
    ],
    ids=str,
)
def test_two_names_of_one_keyword_must_agree(folder, keywords):
    with pytest.raises(ValueError, match="two names of one argument"):
        pipeline("text-classification", folder, **keywords)


def test_options_under_their_older_names_are_the_newer_ones(folder, folder_of):
    classify = pipeline("text-classification", folder)
    assert classify(TEXTS, return_all_scores=True) == classify(TEXTS, top_k=None)
    head = "DistilBertForTokenClassification"
    tag = pipeline("ner", folder_of(head, draw=draw_lively))
    text = "the man of the house is in the film"
    assert tag(text, grouped_entities=True) == tag(text, aggregation_strategy="simple")
    both = {"grouped_entities": True, "ignore_subwords": True}
    assert tag(text, **both) == tag(text, aggregation_strategy="first")
    with pytest.raises(TypeError, match="two names of one option"):
        tag(text, grouped_entities=True, aggregation_strategy="max")


@pytest.mark.parametrize("number", [np.int64(1), np.uint8(1), torch.tensor(1)], ids=str)
def test_options_may_be_numpys_numbers(folder, number):
    classify = pipeline("text-classification", folder)
    options = {"top_k": number, "max_length": np.int32(5), "truncation": True}
    changed = classify.options.changed(options)
    assert (type(changed.top_k), type(changed.max_length)) == (int, int)
    plain = {"top_k": 1, "max_length": 5, "truncation": True}
    assert classify(TEXTS, **options) == classify(TEXTS, **plain)


def test_numpys_true_is_a_flag_and_no_number(folder, folder_of):
    embed = pipeline("sentence-embeddings", folder_of("DistilBertModel"))
    assert torch.equal(
        embed(TEXTS, normalize=np.bool_(True)), embed(TEXTS, normalize=True)
    )
    with pytest.raises(ValueError, match=r"top_k is np\.True_, expected an integer"):
        pipeline("text-classification", folder)(TEXTS, top_k=np.bool_(True))


# Columns ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "column",
    [
        np.array,
        lambda texts: np.array(texts, dtype=object),
        tuple,
        lambda texts: dict(enumerate(texts)).values(),
        lambda texts: [np.str_(text) for text in texts],
    ],
    ids=["array", "objects", "tuple", "view", "strings"],
)
def test_a_column_of_texts_is_a_list(folder, column):
    classify = pipeline("text-classification", folder)
    reference = reference_pipeline(
        "TextClassification", "ForSequenceClassification", folder
    )
    found = classify(column(TEXTS))
    assert_answers(found, reference(TEXTS), 1e-5)
    assert found == classify(TEXTS)


def test_strings_of_numpy_come_back_as_strings(folder_of):
    names = {0: "contradiction", 1: "entailment"}
    pipe = pipeline("zero-shot-classification", folder_of(id2label=names))
    found = pipe(np.array(TEXTS), np.array(["good", "bad"]))
    assert {type(one["sequence"]) for one in found} == {str}
    assert {type(label) for one in found for label in one["labels"]} == {str}


def test_choices_may_be_an_array(folder_of):
    pipe = pipeline("multiple-choice", folder_of("DistilBertForMultipleChoice"))
    listed = {"prompt": "the man is", "choices": ["good", "big"]}
    assert pipe(listed | {"choices": np.array(listed["choices"])}) == pipe(listed)
    with pytest.raises(TypeError, match="expected a list of strings"):
        pipe(listed | {"choices": {"good", "big"}})


# Hooks ────────────────────────────────────────────────────────────────────────────────

HOOKS = ["preprocess", "_forward", "forward", "postprocess", "_sanitize_parameters"]


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_that_nothing_would_call_is_refused(hook):
    assert hasattr(transformers.Pipeline, hook)
    with pytest.raises(TypeError, match=f"Mine has a method {hook}.*override __call__"):
        type("Mine", (TextClassificationPipeline,), {hook: lambda self, x: x})


def test_a_hook_that_is_inherited_is_refused_too():
    class Mixin:
        def postprocess(self, outputs):
            return outputs

    with pytest.raises(TypeError, match="Mine has a method postprocess"):
        type("Mine", (Mixin, TextClassificationPipeline), {})


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_cannot_be_set_or_called(folder, hook):
    pipe = pipeline("text-classification", folder)
    with pytest.raises(AttributeError, match="override __call__"):
        setattr(pipe, hook, print)
    with pytest.raises(AttributeError, match="override __call__"):
        getattr(pipe, hook)


def test_a_subclass_that_changes_the_call_is_used(folder):
    class Shouting(TextClassificationPipeline):
        def __call__(self, inputs, **options):
            found = super().__call__(inputs, **options)
            return [one | {"label": one["label"] + "!"} for one in found]

    pipe = pipeline("text-classification", folder, pipeline_class=Shouting)
    assert type(pipe) is Shouting
    assert {one["label"][-1] for one in pipe(TEXTS)} == {"!"}


# Attributes ───────────────────────────────────────────────────────────────────────────


def test_a_pipeline_is_saved_as_its_model_and_its_tokenizer(
    folder, model, tokenizer, tmp_path
):
    pipe = pipeline(model=model, tokenizer=tokenizer)
    pipe.save_pretrained(tmp_path)
    theirs = transformers.pipeline("text-classification", str(tmp_path))
    assert_answers(pipe(TEXTS), theirs(TEXTS))


def test_of_an_engine_there_is_no_model_to_be_saved(folder, tmp_path):
    with pytest.raises(AttributeError, match="load the model itself"):
        pipeline("text-classification", folder).save_pretrained(tmp_path)
    assert not [*tmp_path.iterdir()]


def test_it_has_the_names_of_an_estimator_and_says_where_it_computes(folder):
    pipe = pipeline("text-classification", folder)
    assert pipe.predict(TEXTS) == pipe.transform(TEXTS) == pipe(TEXTS)
    assert (pipe.device, pipe.dtype) == (torch.device("cpu"), torch.float32)
    with pytest.raises(AttributeError, match="hf upload"):
        pipe.push_to_hub("me/mine")


def test_the_model_of_a_pipeline_can_be_called(folder, model, tokenizer):
    pipe = pipeline("text-classification", folder)
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**batch).logits
    assert torch.allclose(pipe.model(**batch).logits, expected, atol=1e-4)


def test_a_configuration_that_changes_later_counts(folder, tokenizer):
    model = DistilBertForSequenceClassification.from_pretrained(folder)
    pipe = pipeline(model=model, tokenizer=tokenizer)
    model.config = model.config.replace(problem_type="regression")
    with torch.no_grad():
        ids = tokenizer(TEXTS[0], return_tensors="pt")["input_ids"]
        expected = model(ids).logits.max()
    assert pipe(TEXTS)[0]["score"] == pytest.approx(float(expected), abs=1e-5)


# Another library's classes ────────────────────────────────────────────────────────────


def test_a_model_of_transformers_is_called_by_its_library(folder, tokenizer):
    cls = transformers.DistilBertForSequenceClassification
    theirs = cls.from_pretrained(folder)
    got = "DistilBertForSequenceClassification of transformers, expected .*"
    message = re.compile(got + r"of minidistil: .* save_pretrained\(FOLDER\)")
    for take in (
        lambda: pipeline(model=theirs),
        lambda: pipeline("text-classification", theirs, tokenizer=tokenizer),
        lambda: TextClassificationPipeline(theirs, tokenizer),
        lambda: Engine(theirs),
        lambda: explain("a", theirs, tokenizer=tokenizer),
    ):
        with pytest.raises(TypeError, match=message):
            take()


def test_a_tokenizer_of_transformers_is_called_by_its_library(folder, model):
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    message = r"a \w+ of transformers, expected a DistilBertTokenizer of minidistil"
    with pytest.raises(TypeError, match=message):
        pipeline("text-classification", model, tokenizer=theirs)
    with pytest.raises(TypeError, match=message):
        explain("a", model, tokenizer=theirs)


# Wrappers ─────────────────────────────────────────────────────────────────────────────


class Training(nn.Module):
    """What a library for training puts around a model."""

    def __init__(self, model):
        super().__init__()
        self.module = model

    def forward(self, *inputs, **named):
        return self.module(*inputs, **named)


@pytest.mark.parametrize("wrap", [nn.DataParallel, Training, torch.compile])
def test_a_wrapped_model_is_run_as_it_is(folder, tokenizer, model, wrap, monkeypatch):
    wrapped = wrap(model, **({"backend": "eager"} if wrap is torch.compile else {}))
    pipe = pipeline(model=wrapped, tokenizer=tokenizer)
    assert pipe.model is wrapped
    assert pipe.task == "text-classification"
    assert_answers(pipe(TEXTS), pipeline(model=model, tokenizer=tokenizer)(TEXTS))


def test_the_wrapper_is_what_is_called(tokenizer, model):
    class Doubled(Training):
        def forward(self, *inputs, **named):
            out = super().forward(*inputs, **named)
            return type(out)(None, 2 * out.logits)

    pipe = pipeline(model=Doubled(model), tokenizer=tokenizer, function_to_apply="none")
    plain = pipeline(model=model, tokenizer=tokenizer, function_to_apply="none")
    for found, expected in zip(pipe(TEXTS), plain(TEXTS), strict=True):
        assert found["score"] == pytest.approx(2 * expected["score"], rel=1e-5)


def test_a_forward_that_was_replaced_is_what_is_called(folder, tokenizer):
    model = DistilBertForSequenceClassification.from_pretrained(folder)
    plain = pipeline(model=model, tokenizer=tokenizer, function_to_apply="none")
    expected = plain(TEXTS)[0]["score"]
    forward = model.forward

    def doubled(*inputs, **named):
        out = forward(*inputs, **named)
        return type(out)(None, 2 * out.logits)

    model.forward = doubled  # as accelerate does
    assert plain(TEXTS)[0]["score"] == pytest.approx(2 * expected, rel=1e-5)


def test_a_wrapped_model_in_training_mode_is_refused(folder, tokenizer):
    model = DistilBertForSequenceClassification.from_pretrained(folder)
    pipe = pipeline(model=nn.DataParallel(model), tokenizer=tokenizer)
    pipe(TEXTS)  # the wrapper says that it is training; it drops nothing
    model.train()
    with pytest.raises(ValueError, match="training mode"):
        pipe(TEXTS)


def test_who_cannot_run_a_wrapper_asks_for_the_model_inside(tokenizer, model):
    wrapped = nn.DataParallel(model)
    message = (
        "DataParallel of torch around a DistilBertForSequenceClassification of "
        "minidistil, expected the DistilBertForSequenceClassification inside"
    )
    for take in (
        lambda: Engine(wrapped),
        lambda: pipeline(model=wrapped, tokenizer=tokenizer, precision="int8"),
        lambda: explain("a", wrapped, tokenizer=tokenizer),
    ):
        with pytest.raises(TypeError, match=message):
            take()
