"""Texts that are too long are counted: one warning a call, for every task."""

from __future__ import annotations

import warnings
from itertools import islice

import pytest
from checkpoints import draw_lively
from tasks import TASKS

from minidistil import pipeline

LONG = "the film is good " * 20  # 80 tokens, where 46 can be read
# What makes an input of each task of a text; question answering reads every text whole.
INPUTS = {
    "text-classification": str,
    "token-classification": str,
    "fill-mask": "[MASK] {}".format,
    "zero-shot-classification": str,
    "multiple-choice": lambda text: {"prompt": text, "choices": ["a", "the"]},
    "feature-extraction": str,
    "sentence-embeddings": str,
}
NOUNS = {"multiple-choice": "prompt"}


@pytest.fixture(params=INPUTS)
def task(request):
    return request.param


@pytest.fixture
def pipe(task, folder_of):
    head, config, options, _ = TASKS[task]
    return pipeline(task, folder_of(head, draw=draw_lively, **config), **options)


def warned(call):
    """The warnings of a call, which Python would show once each."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return [str(each.message) for each in found]


def test_one_warning_says_how_many(pipe, task):
    make, noun = INPUTS[task], NOUNS.get(task, "text")
    texts = [make(each) for each in (LONG, "a film", LONG, "short", LONG)]
    (text,) = warned(lambda: pipe(texts))
    assert text.startswith(
        f"3 of 5 {noun}s are longer than the model can read, and only their beginning"
    )


def test_of_one_among_others_too(pipe, task):
    make, noun = INPUTS[task], NOUNS.get(task, "text")
    (text,) = warned(lambda: pipe([make("a film"), make(LONG)]))
    assert text.startswith(f"1 of 2 {noun}s is longer than the model can read")


def test_of_an_input_alone_it_says_so(pipe, task):
    noun = NOUNS.get(task, "text")
    (text,) = warned(lambda: pipe(INPUTS[task](LONG)))
    assert text.startswith(f"the {noun} is longer than the model can read")


def test_an_iterator_warns_at_the_first_and_counts_at_the_end(pipe, task):
    make, noun = INPUTS[task], NOUNS.get(task, "text")
    texts = (make(each) for each in (LONG, "a film", LONG, LONG))
    first, last = warned(lambda: [*pipe(texts)])
    assert first.startswith(f"a {noun} is longer than the model can read")
    assert last.startswith(f"3 of the 4 {noun}s that were read were too long")


def test_an_iterator_that_is_left_says_how_many_it_read(folder_of):
    pipe = pipeline("text-classification", folder_of(draw=draw_lively))

    def use():
        answers = pipe(iter([LONG] * 100))
        assert len([*islice(answers, 3)]) == 3
        answers.close()

    # The first alone, then two together.
    assert warned(use)[-1].startswith("3 of the 3 texts that were read")


def test_texts_before_one_that_is_refused_are_counted_once(folder_of):
    pipe = pipeline("fill-mask", folder_of("DistilBertForMaskedLM", draw=draw_lively))
    good, hopeless = f"[MASK] {LONG}", f"{LONG} [MASK]"

    def use():
        with pytest.raises(ValueError, match=r"text 3: .* truncated away"):
            [*pipe(iter([good, good, good, hopeless]))]

    assert warned(use)[-1].startswith("3 of the 3 texts")


def test_what_was_asked_for_is_not_warned_of(pipe, task):
    chosen = {"stride": 4} if task == "token-classification" else {"truncation": "head"}
    assert warned(lambda: pipe([INPUTS[task](LONG)] * 2, **chosen)) == []


def test_a_question_and_its_context_are_read_whole(folder_of):
    head, config, _, _ = TASKS["question-answering"]
    folder = folder_of(head, draw=draw_lively, **config)
    pipe = pipeline("question-answering", folder)
    asked = {"question": "who", "context": LONG}
    assert warned(lambda: pipe([asked, asked])) == []
