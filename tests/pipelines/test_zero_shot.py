"""The zero-shot classification pipeline, beside transformers' own."""

from __future__ import annotations

import json
import warnings
from functools import partial

import numpy as np
import pytest
import torch
import transformers
from answers import assert_answers as assert_same, reference_pipeline
from click.testing import CliRunner
from real_weights import write_trained
from texts import generated, words

from minidistil import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    Engine,
    pipeline,
)
from minidistil.cli import main
from minidistil.pipelines import reading

TASK = "zero-shot-classification"
MNLI = ["contradiction", "neutral", "entailment"]
LABELS = ["sports", "film", "a good end", "war"]
LIMIT = 48  # the small checkpoint's positions


load_reference = partial(
    reference_pipeline, "ZeroShotClassification", "ForSequenceClassification"
)


@pytest.fixture(scope="module")
def folder_with(folder_of):
    """Give the folder of a checkpoint with such labels; made once."""

    def folder_with(*names):
        return folder_of(
            id2label=dict(enumerate(names)),
            label2id={name: i for i, name in enumerate(names)},
        )

    return folder_with


@pytest.fixture(scope="module")
def folder(folder_with):
    return folder_with(*MNLI)


@pytest.fixture(scope="module")
def classify(folder):
    return pipeline(TASK, folder)


@pytest.fixture(scope="module")
def reference(folder):
    return load_reference(folder)


# What goes in and what comes out

INPUTS = {
    "a text": "the film was good",
    "a blank text": " \t",
    "another script": "Это прекрасно ☕ 你好",
    "a list of one": ["the film was good"],
    "a list": ["the film was good", " ", words(30), "[SEP] [MASK]"],
}
CANDIDATES = {
    "a list": LABELS,
    "two": ["film", "end"],
    "one": ["film"],
    "one string": "film",
    "a string": "sports, film,, a good end ,war,",
    "a tuple": tuple(LABELS),
    "twice the same": ["film", "film", "end"],
    "Unicode": ["кино", "Ünïcödé", "l’été"],
}


@pytest.mark.parametrize("inputs", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("candidates", CANDIDATES.values(), ids=CANDIDATES)
@pytest.mark.parametrize("multi_label", [False, True])
def test_an_answer_is_transformers_own(
    classify, reference, inputs, candidates, multi_label
):
    options = {"candidate_labels": candidates, "multi_label": multi_label}
    assert_same(classify(inputs, **options), reference(inputs, **options))


@pytest.mark.parametrize(
    "template", ["{}", "This is about {}.", "{0}, {0}!", "é {:>9} ☕", "{{}} {}"]
)
def test_any_template_gives_transformers_answer(classify, reference, template):
    options = {"candidate_labels": LABELS, "hypothesis_template": template}
    text = INPUTS["a text"]
    assert_same(classify(text, **options), reference(text, **options))


def test_labels_can_stand_behind_the_text(classify, reference):
    text = INPUTS["a text"]
    assert_same(classify(text, LABELS), reference(text, LABELS))


def test_generated_texts_have_transformers_answers(classify, reference):
    texts = generated(40)
    for multi_label in (False, True):
        options = {"candidate_labels": LABELS, "multi_label": multi_label}
        assert_same(classify(texts, **options), reference(texts, **options))


@pytest.mark.parametrize(
    "names",
    [
        ["entailment", "neutral", "contradiction"],
        ["ENTAILMENT", "NEUTRAL", "CONTRADICTION"],
        ["contradiction", "entails", "neutral"],
        ["entailment", "not_entailment"],
        ["not_entailment", "Entailment"],
    ],
    ids=", ".join,
)
@pytest.mark.parametrize("multi_label", [False, True])
def test_entailment_is_found_wherever_transformers_finds_it(
    folder_with, names, multi_label
):
    folder = folder_with(*names)
    ours, theirs = pipeline(TASK, folder), load_reference(folder)
    options = {"candidate_labels": LABELS, "multi_label": multi_label}
    assert_same(ours("the film", **options), theirs("the film", **options))


def test_contradiction_is_what_says_so_and_not_what_stands_first(folder_with):
    # transformers compares with the first label here, which is neutral.
    folder = folder_with("neutral", "entailment", "contradiction")
    model = transformers.DistilBertForSequenceClassification.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    pair = tokenizer("the film", "This example is good.", return_tensors="pt")
    with torch.inference_mode():
        _, entailment, contradiction = model(**pair).logits[0].double().exp().tolist()
    answer = pipeline(TASK, folder)("the film", ["good", "bad"], multi_label=True)
    score = dict(zip(answer["labels"], answer["scores"], strict=True))["good"]
    assert score == pytest.approx(entailment / (entailment + contradiction), abs=1e-6)


def test_where_contradiction_is_unknown_labels_are_only_compared(folder_with):
    folder = folder_with("neutral", "entailment", "other")
    ours, theirs = pipeline(TASK, folder), load_reference(folder)
    assert_same(ours("the film", LABELS), theirs("the film", LABELS))
    for options in ({"multi_label": True}, {"candidate_labels": "film"}):
        with pytest.raises(ValueError, match="none begins with 'contra'"):
            ours("the film", **{"candidate_labels": LABELS} | options)


@pytest.mark.parametrize("names", [["NEGATIVE", "POSITIVE"], ["not_entailment", "no"]])
def test_a_model_without_entailment_is_refused(folder_with, names):
    with pytest.raises(ValueError, match=rf"'{names[1]}'\], and none begins with 'ent"):
        pipeline(TASK, folder_with(*names))


def test_trained_weights_give_transformers_answers(tmp_path):
    labels = {"id2label": dict(enumerate(MNLI))}
    folder = write_trained(tmp_path, "DistilBertForSequenceClassification", **labels)
    classify, reference = pipeline(TASK, folder), load_reference(folder)
    texts = ["I've been waiting for a HuggingFace course my whole life.", "So bad!"]
    texts += ["Who will win the election is known on Monday. " * 9]
    for multi_label in (False, True):
        options = {"candidate_labels": LABELS, "multi_label": multi_label}
        assert_same(classify(texts, **options), reference(texts, **options), 1e-5)


def test_an_empty_text_is_a_premise_too(classify, folder):
    # transformers refuses it; a file may hold an empty line.
    model = transformers.DistilBertForSequenceClassification.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    hypotheses = [f"This example is {label}." for label in LABELS]
    pairs = tokenizer([""] * 4, hypotheses, padding=True, return_tensors="pt")
    with torch.inference_mode():
        scores = model(**pairs).logits[:, 2].softmax(dim=0).tolist()
    answer = classify("", LABELS)
    found = dict(zip(answer["labels"], answer["scores"], strict=True))
    assert [found[label] for label in LABELS] == pytest.approx(scores, abs=1e-6)


def test_an_empty_list_has_no_answers(classify):
    assert classify([], LABELS) == []
    assert list(classify(iter([]), LABELS)) == []


def test_any_collection_of_texts_is_answered_with_a_list(classify):
    texts = INPUTS["a list"]
    assert classify(tuple(texts), LABELS) == classify(texts, LABELS)
    assert classify(np.array(texts), LABELS) == classify(texts, LABELS)


def test_an_iterator_is_read_as_its_answers_are_taken(classify, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 2)
    taken = []

    def texts():
        for i in range(5):
            taken.append(i)
            yield words(1 + i)

    answers = classify(texts(), LABELS)
    assert taken == []
    first = next(answers)
    assert taken == [0]
    expected = [classify(words(1 + i), LABELS) for i in range(5)]
    assert_same([first, *answers], expected)


def test_an_option_of_the_pipeline_holds_unless_a_call_has_its_own(folder, classify):
    narrow = pipeline(TASK, folder, candidate_labels="film, end", multi_label=True)
    text = INPUTS["a text"]
    assert_same(narrow(text), classify(text, ["film", "end"], multi_label=True))
    assert_same(narrow(text, LABELS, multi_label=False), classify(text, LABELS))


# What is refused


def test_labels_are_asked_for(classify):
    with pytest.raises(ValueError, match="give candidate_labels="):
        classify("the film")


@pytest.mark.parametrize("candidates", [[], "", " , ,", ["a", ""], [" "], ()])
def test_no_labels_and_empty_ones_are_refused(classify, folder, candidates):
    with pytest.raises(ValueError, match="expected at least one label, and none"):
        classify("the film", candidates)
    with pytest.raises(ValueError, match="expected at least one label, and none"):
        pipeline(TASK, folder, candidate_labels=candidates)


@pytest.mark.parametrize("candidates", [3, [1, 2], b"a,b", {"a": 1}, ["a", None]])
def test_labels_that_are_no_strings_are_refused(classify, candidates):
    with pytest.raises(TypeError, match="expected a list of strings, or a string"):
        classify("the film", candidates)


@pytest.mark.parametrize(
    "template", ["no braces", "{} and {}", "{label}", "{", "{{}}", "{0.x}", "{:.0}", 3]
)
def test_a_template_without_one_place_for_the_label_is_refused(classify, template):
    with pytest.raises(ValueError, match=r"hypothesis_template is .* with \{\} where"):
        classify("the film", LABELS, hypothesis_template=template)


@pytest.mark.parametrize("value", [None, 3, b"film", {"text": "film"}, ["film"]])
def test_what_is_no_text_is_refused(classify, value):
    with pytest.raises(TypeError, match=r"text 1 is .*expected a string"):
        classify(["the film", value], LABELS)


def test_a_list_is_checked_before_anything_is_computed(classify, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 1)
    monkeypatch.setattr(Engine, "__call__", None)
    with pytest.raises(TypeError, match="text 1 is"):
        classify(["fine", 3], LABELS)


@pytest.mark.parametrize(
    ("option", "value"), [("multi_label", 1), ("truncation", "tail"), ("max_length", 2)]
)
def test_an_option_out_of_range_is_refused(classify, option, value):
    with pytest.raises(ValueError, match=f"{option} is {value!r}"):
        classify("the film", LABELS, **{option: value})


def test_texts_can_be_given_by_transformers_name(classify, reference):
    asked = {"sequences": "the film", "candidate_labels": LABELS}
    assert_same(classify(**asked), reference(**asked))
    for both in ({}, {"inputs": "a", "sequences": "a"}):
        with pytest.raises(TypeError, match="as inputs or as sequences="):
            classify(**both, candidate_labels=LABELS)


def test_a_long_text_is_named_and_those_before_it_are_answered(classify):
    texts = ["a film", words(100)]
    asked = {"candidate_labels": LABELS, "truncation": "error"}
    with pytest.raises(ValueError, match="text 1: a text has 100 tokens"):
        classify(texts, **asked)
    answers = classify(iter(texts), **asked)
    assert_same(next(answers), classify("a film", LABELS))
    with pytest.raises(ValueError, match="text 1: a text has 100 tokens"):
        next(answers)


def test_an_unknown_option_is_refused_with_the_nearest(classify):
    with pytest.raises(TypeError, match="'multi_class'; did you mean 'multi_label'"):
        classify("the film", LABELS, multi_class=True)


# Texts that are too long

LONG = words(100)
# "This example is {}." and what stands around both: tokens without a text's own.
FRAME = 4 + 3


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_beginning_of_a_long_text_is_read(classify, reference, multi_label):
    # Labels of 1, 1, 3 and 1 tokens: the longest hypothesis cuts two tokens more.
    reference.tokenizer.model_max_length, limit = LIMIT, 512
    try:
        theirs = reference(LONG, LABELS, multi_label=multi_label)
    finally:
        reference.tokenizer.model_max_length = limit
    ours = classify(LONG, LABELS, multi_label=multi_label, truncation="head")
    assert_same(ours, theirs)


def test_that_a_text_is_cut_is_told(classify):
    with pytest.warns(UserWarning, match="only its beginning is read"):
        classify(LONG, LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classify(LONG, LABELS, truncation="head")


@pytest.mark.parametrize("multi_label", [False, True])
def test_windows_are_the_same_for_all_labels_and_their_scores_averaged(
    classify, reference, multi_label
):
    room = LIMIT - FRAME - 3  # beside the longest label
    step = room - room // 4
    starts = [*range(0, 100 - room, step), 100 - room]
    premises = [" ".join(LONG.split()[start : start + room]) for start in starts]
    totals = dict.fromkeys(LABELS, 0.0)
    for one in reference(premises, LABELS, multi_label=multi_label):
        for label, score in zip(one["labels"], one["scores"], strict=True):
            totals[label] += score / len(premises)
    answer = classify(LONG, LABELS, truncation="window", multi_label=multi_label)
    assert answer["sequence"] == LONG
    found = dict(zip(answer["labels"], answer["scores"], strict=True))
    assert found == pytest.approx(totals, abs=1e-6)
    assert answer["scores"] == sorted(answer["scores"], reverse=True)


def test_head_and_tail_are_read_if_asked_for(classify, reference):
    labels = ["film", "end"]
    room = LIMIT - FRAME - 1
    first = -(-room // 4)
    tokens = LONG.split()
    kept = " ".join(tokens[:first] + tokens[100 - (room - first) :])
    ours = classify(LONG, labels, truncation="head+tail")
    assert_same(ours, reference(kept, labels) | {"sequence": LONG})


@pytest.mark.parametrize("truncation", ["error", False])
def test_a_long_text_can_be_refused(classify, truncation):
    with pytest.raises(ValueError, match="100 tokens"):
        classify(LONG, LABELS, truncation=truncation)


def test_a_text_that_just_fits_is_not_cut(classify, reference):
    text = words(LIMIT - FRAME - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = classify(text, ["film", "end"])
    assert_same(ours, reference(text, ["film", "end"]))
    assert classify(text, ["film", "end"], truncation="error") == ours


def test_a_hypothesis_that_leaves_no_room_is_refused(classify):
    with pytest.raises(ValueError, match=r"50 tokens, which of the 48 .* no room"):
        classify("the film", [words(46)], truncation="head")


def test_labels_do_not_change_each_others_logits(classify):
    # One label is much longer than the others, and the text is cut beside it alone.
    text = words(30)
    options = {"multi_label": True, "truncation": "head"}
    alone = {label: classify(text, [label], **options)["scores"] for label in LABELS}
    together = classify(text, [*LABELS, words(20)], **options)
    for label, score in zip(together["labels"], together["scores"], strict=True):
        assert label not in alone or alone[label] == pytest.approx([score], abs=1e-6)


# Where the model comes from


def test_a_loaded_model_answers_as_its_folder_does(classify, folder):
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, backend="python")
    loaded = pipeline(TASK, model, tokenizer=tokenizer)
    texts = generated(10)
    assert_same(loaded(texts, LABELS, batch_size=3), classify(texts, LABELS))


# The command


def run(folder, *arguments, stdin=None):
    command = ["zero-shot", "--model", str(folder), *arguments]
    return CliRunner().invoke(main, command, input=stdin)


def test_the_command_prints_a_line_for_each_text(folder, classify):
    texts = ["the film", "a good end"]
    result = run(folder, "-l", "film, end", stdin="\n".join(texts))
    for line, text in zip(result.stdout.splitlines(), texts, strict=True):
        answer = classify(text, ["film", "end"])
        pairs = zip(answer["labels"], answer["scores"], strict=True)
        shown = "  ".join(f"{label}  {score:.4f}" for label, score in pairs)
        assert line == f"{shown}  {text}"


def test_the_commands_json_is_the_answer(folder, classify):
    options = ["-l", "film,end", "--multi-label", "--template", "So {}!", "--json"]
    record = json.loads(run(folder, *options, "the film").stdout)
    answer = classify(
        "the film", "film,end", multi_label=True, hypothesis_template="So {}!"
    )
    record["sequence"] = record.pop("text")
    assert record["labels"] == answer["labels"]
    assert record["scores"] == pytest.approx(answer["scores"], abs=1e-6)


def test_the_command_needs_labels(folder):
    result = run(folder, "the film")
    assert result.exit_code == 2
    assert "--labels" in result.stderr


def test_half_a_character_in_a_label_is_refused(classify):
    for options in (
        {"candidate_labels": ["a", "\ud800"]},
        {"candidate_labels": ["a"], "hypothesis_template": "\ud800 {}"},
    ):
        with pytest.raises(TypeError, match="half of a surrogate pair"):
            classify("a text", **options)
