"""Token classification beside transformers' own pipeline, on the same weights.

Where the two differ, the test says what transformers does.
"""

from __future__ import annotations

import random
import re
import threading
import warnings
from functools import partial

import pytest
import transformers
from answers import assert_answers, reference_pipeline
from checkpoints import draw_lively, write_checkpoint
from texts import odd_text, words

from minidistil import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    Engine,
    TokenClassificationPipeline,
    pipeline,
)
from minidistil.pipelines import reading
from minidistil.pipelines.token_classification import STRATEGIES

LIMIT = 48  # positions of the small model
NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC", "X-LOC"]
LABELS = {"id2label": dict(enumerate(NAMES))}
TEXT = "Ada Lovelace's friend Charles lived in London, 7 miles from unbelievable Paris."
LONG = " ".join(f"{TEXT} {words(5, start)}" for start in range(6))


@pytest.fixture(scope="module")
def folder(folder_of):
    return folder_of("DistilBertForTokenClassification", draw=draw_lively, **LABELS)


@pytest.fixture(scope="module")
def trained(folder_of):
    return folder_of("DistilBertForTokenClassification", trained=True, **LABELS)


@pytest.fixture(scope="module")
def label(folder):
    return pipeline("token-classification", folder)


load_reference = partial(
    reference_pipeline, "TokenClassification", "ForTokenClassification"
)


@pytest.fixture(scope="module")
def reference(folder):
    return load_reference(folder, LIMIT)


assert_same = partial(assert_answers, tolerance=1e-5)


# One text

IGNORED = [{}, {"ignore_labels": []}, {"ignore_labels": ["PER", "B-LOC", "MISC"]}]


@pytest.mark.parametrize("strategy", [None, *STRATEGIES, "MAX"])
@pytest.mark.parametrize("ignored", IGNORED, ids=str)
def test_an_answer_is_transformers_own(label, reference, strategy, ignored):
    options = ignored | ({"aggregation_strategy": strategy} if strategy else {})
    expected = reference(TEXT, **options)
    assert expected
    assert_same(label(TEXT, **options), expected)


def test_the_strategies_differ_on_this_text(reference):
    found = [
        str([(one["word"], one["entity_group"], one["score"]) for one in answer])
        for strategy in STRATEGIES[1:]
        for answer in [reference(TEXT, aggregation_strategy=strategy)]
    ]
    assert len({*found}) == len(found)


@pytest.mark.sample(40)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("seed", range(40))
def test_odd_texts_are_labelled_as_by_transformers(label, reference, strategy, seed):
    text = odd_text(seed, random.Random(seed).randint(1, 9))
    options = {"aggregation_strategy": strategy, "ignore_labels": []}
    ours = label(text, **options)
    if strategy in ("none", "simple"):
        assert_same(ours, reference(text, **options))
    else:
        assert_same(ours, word_by_word(reference, text, **options))
    if strategy == "none":
        spans = [(one["start"], one["end"]) for one in ours]
        assert spans == sorted(spans)


def word_by_word(reference, text, **options):
    """What transformers answers if it knows what goes on with a word.

    It takes for such a token every one that is longer or shorter than its characters in
    the text, which marks and invisible characters make it; and for a beginning every
    one that is by chance of the same length.
    """

    class Knowing(transformers.TokenClassificationPipeline):
        def aggregate_words(self, entities, strategy):
            for entity in entities:
                token = reference.tokenizer.convert_ids_to_tokens(
                    reference.tokenizer(text, truncation=True)["input_ids"]
                )[entity["index"]]
                entity["is_subword"] = token.startswith("##")
            return super().aggregate_words(entities, strategy)

    knowing = Knowing(model=reference.model, tokenizer=reference.tokenizer)
    return knowing(text, **options)


def test_an_invisible_character_does_not_join_two_words(label, reference):
    text = "film ab\u00adout"
    film, about = label(text, ignore_labels=[])
    assert (about["word"], about["start"], about["end"]) == ("about", 5, 11)
    assert film["entity"] != about["entity"]
    options = {"aggregation_strategy": "first", "ignore_labels": []}
    ours = label(text, **options)
    assert [one["word"] for one in ours] == ["film", "about"]
    # Transformers takes "about" for a part of the word before it: it has 5 characters,
    # and there are 6 in the text.
    assert [one["word"] for one in reference(text, **options)] == ["film about"]


def test_a_text_of_many_entities_is_read_by_a_trained_encoder(trained):
    ours = pipeline("ner", trained)
    theirs = load_reference(trained, 512)
    text = " ".join([TEXT] * 12)
    for strategy in STRATEGIES:
        options = {"aggregation_strategy": strategy}
        assert_same(ours(text, **options), theirs(text, **options))
    windows = {"aggregation_strategy": "average", "stride": 64}
    text = " ".join([TEXT] * 40)
    assert_same(ours(text, **windows), theirs(text, **windows))


@pytest.mark.parametrize("text", ["", " ", "\n\u200b"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_text_without_a_token_has_no_labels(label, reference, text, strategy):
    options = {"aggregation_strategy": strategy}
    assert label(text, **options) == reference("", **options) == []
    assert label(text, stride=4, **options) == []


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_on_hostile_weights_the_answer_is_transformers_own_too(tmp_path, strategy):
    head = "DistilBertForTokenClassification"
    folder = write_checkpoint(tmp_path, head, **LABELS)
    ours, theirs = pipeline("ner", folder), load_reference(folder, LIMIT)
    options = {"aggregation_strategy": strategy, "ignore_labels": []}
    for text in (TEXT, odd_text(3, 12)):
        assert_same(ours(text, **options), theirs(text, **options))


def test_labels_without_b_and_i_go_by_their_names(tmp_path):
    folder = write_checkpoint(
        tmp_path,
        "DistilBertForTokenClassification",
        draw=draw_lively,
        id2label={0: "NOUN", 1: "VERB", 2: "B", 3: "I-", 4: "B-A-B"},
    )
    for strategy in STRATEGIES:
        options = {"aggregation_strategy": strategy, "ignore_labels": ["VERB"]}
        ours = pipeline("ner", folder)(TEXT, **options)
        assert_same(ours, load_reference(folder, LIMIT)(TEXT, **options))


# Long texts


@pytest.mark.sample(8)
@pytest.mark.parametrize("strategy", STRATEGIES[1:])
@pytest.mark.parametrize("stride", [0, 1, 10, 45])
@pytest.mark.parametrize("ignored", IGNORED[:2], ids=str)
def test_windows_are_those_of_transformers(label, reference, strategy, stride, ignored):
    options = {"aggregation_strategy": strategy, "stride": stride} | ignored
    expected = reference(LONG, **options)
    assert expected[-1]["end"] > 480
    assert_same(label(LONG, **options), expected)


@pytest.mark.parametrize("stride", [0, 10])
def test_tokens_are_numbered_through_all_windows(label, reference, stride):
    ours = label(LONG, stride=stride, ignore_labels=[])
    # Transformers numbers the tokens of each window anew; asked for "none" by name, it
    # refuses.
    theirs = reference(LONG, stride=stride, ignore_labels=[])
    for number, one in enumerate(theirs, start=1):
        one["index"] = number
    assert_same(ours, theirs)
    with pytest.raises(ValueError, match="please select another one"):
        reference(LONG, stride=stride, aggregation_strategy="none")
    named = label(LONG, stride=stride, ignore_labels=[], aggregation_strategy="none")
    assert named == ours


def test_a_long_text_without_a_stride_is_cut_with_a_warning(label, reference):
    with pytest.warns(UserWarning, match=r"only its beginning is labelled") as told:
        ours = label(LONG)
    assert_same(ours, reference(LONG))
    advice = re.search(r"stride=(\d+)", str(told[0].message))
    assert_same(label(LONG, stride=int(advice[1])), label(LONG, stride=23))


@pytest.mark.parametrize("stride", [None, 0, 45])
def test_a_text_that_just_fits_is_not_cut(label, reference, stride):
    text = words(LIMIT - 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(label(text, stride=stride), reference(text))


@pytest.mark.parametrize("stride", [46, 48, 10_000])
def test_a_stride_as_large_as_the_window_is_refused(label, stride):
    with pytest.raises(ValueError, match=f"stride is {stride}, expected less than 46"):
        label("short", stride=stride)


# Texts in words

IN_WORDS = ["Ada", "Lovelace's", "New York", "", "unbelievable", "\u00ad", "Paris."]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("delimiter", [{}, {"delimiter": ""}, {"delimiter": " - "}])
def test_a_text_in_words_is_labelled_as_by_transformers(
    label, reference, strategy, delimiter
):
    options = {"aggregation_strategy": strategy, "is_split_into_words": True}
    options |= {"ignore_labels": []} | delimiter
    for inputs in (IN_WORDS, [IN_WORDS], [IN_WORDS, ["Paris"]]):
        assert_same(label(inputs, **options), reference(inputs, **options))
    (answer,) = label(IN_WORDS, **options)
    text = options.get("delimiter", " ").join(IN_WORDS)
    assert text[answer[-1]["start"] : answer[-1]["end"]].endswith(".")


def test_a_long_text_in_words_is_read_in_windows(label, reference):
    options = {"aggregation_strategy": "first", "is_split_into_words": True}
    ours = label(LONG.split(), stride=9, **options)
    assert_same(ours, reference(LONG.split(), stride=9, **options))
    assert [(one["start"], one["end"]) for one in ours[0]] == [
        (one["start"], one["end"])
        for one in label(LONG, stride=9, aggregation_strategy="first")
    ]


# Many texts


def test_a_list_is_answered_with_a_list(label, reference):
    texts = [TEXT, "", "Paris", odd_text(1, 8)]
    assert_same(label(texts), reference(texts))
    assert_same(label(tuple(texts)), reference(texts))
    assert_same(list(label(iter(texts))), reference(texts))
    assert_same(label([TEXT]), reference([TEXT]))


def test_an_empty_list_has_no_answers(label):
    assert label([]) == []
    assert label([], is_split_into_words=True) == []
    assert list(label(iter([]))) == []


def test_other_texts_in_the_batch_do_not_change_an_answer(label):
    texts = [odd_text(i, i) for i in range(9)]
    alone = [label(text) for text in texts]
    for size in (1, 4, 100):
        assert_same(label(texts, batch_size=size), alone)


def test_texts_are_read_as_answers_are_taken(label, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 2)
    answers = label("Paris" for _ in iter(int, 1))
    assert_same([next(answers) for _ in range(5)], [label("Paris")] * 5)
    in_words = label((["New", "Paris"] for _ in iter(int, 1)), is_split_into_words=True)
    assert_same(next(in_words), label("New Paris"))


# What is refused


@pytest.mark.parametrize(
    "value", [None, 3, b"bytes", {"text": TEXT}, [[TEXT]]], ids=str
)
def test_what_is_no_text_is_refused(label, value):
    with pytest.raises(TypeError, match=r"text.* is .*, expected a string, or a list"):
        label(value)
    with pytest.raises(TypeError, match=r"text 1 is .*, expected a string, or a list"):
        label([TEXT, value])


@pytest.mark.parametrize("value", ["a string", 3, ["a", 3], ["a", ["b"]], [["a", 3]]])
def test_what_is_no_list_of_words_is_refused(label, value):
    with pytest.raises(TypeError, match=r"is .*, expected a list of words"):
        label(value, is_split_into_words=True)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("aggregation_strategy", "mean", "one of none, simple, first, average, max"),
        ("aggregation_strategy", None, "one of none, simple"),
        ("ignore_labels", "O", "a list of labels"),
        ("ignore_labels", None, "a list of labels"),
        ("stride", -1, "at least 0"),
        ("stride", True, "at least 0"),
        ("is_split_into_words", "no", "True or False"),
        ("delimiter", None, "a string"),
        ("batch_size", 0, "at least 1"),
    ],
)
def test_an_option_out_of_range_is_refused_wherever_it_is_given(
    label, folder, option, value, message
):
    with pytest.raises((ValueError, TypeError), match=f"{option} is .*{message}"):
        label(TEXT, **{option: value})
    with pytest.raises((ValueError, TypeError), match=f"{option} is .*{message}"):
        pipeline("ner", folder, **{option: value})


def test_a_task_without_a_default_model_asks_for_one():
    with pytest.raises(ValueError, match="no default model for 'ner': give model="):
        pipeline("ner")


# What computes


def test_an_engine_answers_unless_a_model_is_given(folder, label):
    assert isinstance(label.model, Engine)
    model = AutoModelForTokenClassification.from_pretrained(folder)
    itself = pipeline("ner", model, tokenizer=folder, batch_size=2)
    assert itself.model is model
    texts = [TEXT, "", "Paris", odd_text(1, 8), odd_text(5, 9)]
    assert_same(itself(texts), label(texts))
    tokenizer = AutoTokenizer.from_pretrained(folder, backend="python")
    python = TokenClassificationPipeline(Engine(model), tokenizer)
    for strategy in STRATEGIES:
        options = {"aggregation_strategy": strategy}
        assert_same(python(texts, **options), label(texts, **options))


def test_sixteen_threads_share_a_pipeline(label):
    jobs = [
        (text, {"aggregation_strategy": strategy, "stride": stride})
        for text, stride in [(TEXT, 5), (LONG, 5), (LONG, 30)]
        for strategy in STRATEGIES
    ]
    expected = [label(text, **options) for text, options in jobs]
    wrong = []

    def work(number):
        for i in range(4):
            place = (i + number) % len(jobs)
            text, options = jobs[place]
            if label(text, **options) != expected[place]:
                wrong.append(place)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_half_a_character_is_refused_and_what_came_before_it_answered(label):
    with pytest.raises(TypeError, match="text 1 has half of a surrogate pair"):
        label(["fine", "a \ud800 b"])
    answers = label(iter(["fine", "a \ud800 b"]))
    assert_same(next(answers), label("fine"))
    with pytest.raises(TypeError, match="text 1 has half of a surrogate pair"):
        next(answers)
    with pytest.raises(TypeError, match="text 0 has half of a surrogate pair"):
        label([["a", "\ud800"]], is_split_into_words=True)
