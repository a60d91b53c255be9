"""Question answering beside version 4.57 of transformers, the last that had it.

Where the two differ, the test says what version 4.57 does.
"""

from __future__ import annotations

import functools
import random
import threading
from functools import partial
from itertools import repeat

import pytest
import torch
from answers import assert_answers
from checkpoints import draw_lively
from texts import odd_text
from transformers4 import OldError

from minidistil import (
    AutoModelForQuestionAnswering,
    AutoTokenizer,
    Engine,
    QuestionAnsweringPipeline,
    pipeline,
)
from minidistil.pipelines import TASKS, question_answering as room, reading, running

LIMIT = 48  # positions of the small model
SETTINGS = {"model_max_length": LIMIT}
QUESTION = "Where was the film?"
CONTEXT = "The film was good, but its end was far too long. Nobody in Berlin liked it."
LONG = "good film was the end but far too long and its words were the best in town " * 8


@pytest.fixture(scope="module")
def folder(folder_of):
    return folder_of("DistilBertForQuestionAnswering", draw=draw_lively)


@pytest.fixture(scope="module")
def hostile(folder_of):
    return folder_of("DistilBertForQuestionAnswering")


@pytest.fixture(scope="module")
def trained(folder_of):
    return folder_of("DistilBertForQuestionAnswering", trained=True)


@pytest.fixture(scope="module")
def answer(folder):
    return pipeline("question-answering", folder)


@pytest.fixture(scope="module")
def theirs(old, folder):
    """Ask version 4.57 on the small checkpoint."""
    return functools.partial(old.ask, folder, SETTINGS)


def without_nothings(found, top_k):
    """What version 4.57 would have answered without two mistakes.

    It fills up the answers with spans that begin or end in [CLS], of score 0; and one
    answer is no list of one, though ``top_k`` asks for more.
    """
    found = [found] if isinstance(found, dict) else found
    found = [one for one in found if one["score"] > 0]
    return found[0] if top_k == 1 else found


assert_same = partial(assert_answers, tolerance=1e-5)


def expected_of(ask, **asked):
    """What version 4.57 would answer if each place in the context counted once.

    It adds up what overlapping windows say of the same characters, so that a score can
    be 2, and shows the place of an answer that it saw first. Here the best of the
    windows counts for a place, and the place of the best span is shown.
    """
    top_k = asked.get("top_k", 1)
    plain = without_nothings(ask(**asked), top_k)
    windows = ask(**asked, by_window=True)
    if len(windows) < 2:
        return plain
    scores, surest = {}, {}
    for window in windows:
        here = {}
        for span in window:
            place = span["start"], span["end"]
            if span["score"] > 0:
                here[place] = here.get(place, 0) + span["score"]
                surest[place] = max(
                    surest.get(place, (0,)), (span["score"], span["answer"])
                )
        for place, score in here.items():
            scores.setdefault(place, []).append(score)
    answers = {}
    for (start, end), (_, text) in sorted(surest.items(), key=lambda one: -one[1][0]):
        first = {"score": 0.0, "start": start, "end": end, "answer": text}
        answers.setdefault(text.lower(), first)["score"] += max(scores[start, end])
    found = [*answers.values()]
    if asked.get("handle_impossible_answer"):
        # What it says of that needs no change.
        asked |= {"top_k": 600, "max_answer_len": 1, "align_to_words": False}
        found += [one for one in ask(**asked) if one["answer"] == "" and one["score"]]
    found.sort(key=lambda one: -one["score"])
    if all(len(some) == 1 for some in scores.values()):
        pairs = zip(found, [plain] if top_k == 1 else plain, strict=False)
        for ours, theirs in pairs:
            assert ours["answer"].lower() == theirs["answer"].lower()
            assert ours["score"] == pytest.approx(theirs["score"], abs=1e-6)
    return found[0] if top_k == 1 else found[:top_k]


# One question

OPTIONS = [
    {},
    {"top_k": 2},
    {"top_k": 7},
    {"top_k": 3, "align_to_words": False},
    {"align_to_words": False, "max_answer_len": 1},
    {"max_answer_len": 1, "top_k": 2},
    {"max_answer_len": 100, "top_k": 4},
    {"handle_impossible_answer": True, "top_k": 5},
    {"max_seq_len": 20, "doc_stride": 5, "top_k": 3},
    {"max_seq_len": 20, "doc_stride": 5, "handle_impossible_answer": True, "top_k": 9},
    {"max_seq_len": 30, "top_k": 4, "align_to_words": False},
    {"max_seq_len": 48, "doc_stride": 0, "top_k": 3},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("context", [CONTEXT, LONG], ids=["short", "long"])
def test_an_answer_is_that_of_version_four(answer, theirs, context, options):
    ours = answer(question=QUESTION, context=context, **options)
    assert_same(
        ours, expected_of(theirs, question=QUESTION, context=context, **options)
    )


def test_on_hostile_weights_it_is_too(old, hostile):
    ours = pipeline("question-answering", hostile)
    for context in (CONTEXT, LONG):
        asked = {"question": QUESTION, "context": context, "top_k": 3}
        ask = functools.partial(old.ask, hostile, SETTINGS)
        assert_same(ours(**asked), expected_of(ask, **asked))


@pytest.mark.parametrize("seed", range(60))
def test_odd_texts_are_answered_as_by_version_four(answer, theirs, seed):
    draw = random.Random(seed)
    question, context = (
        odd_text(seed, draw.randint(1, 4)) or "?",
        odd_text(-1 - seed, draw.randint(1, 60)),
    )
    options = {
        "top_k": draw.randint(1, 6),
        "align_to_words": draw.random() < 0.7,
        "handle_impossible_answer": draw.random() < 0.3,
        "max_answer_len": draw.randint(1, 20),
    }
    expected = expected_of(theirs, question=question, context=context, **options)
    ours = answer(question=question, context=context, **options)
    if options["top_k"] > 1:
        ours = [one for one in ours if one["score"] > 0]
    assert_same(ours, expected)
    for one in [ours] if isinstance(ours, dict) else ours:
        assert context[one["start"] : one["end"]] == one["answer"]


CHAPTER = " ".join(
    f"In {year} the ship of captain {name} left {town} with {year % 90} men, sailed "
    f"round the cape, and came to Ångström bay, where nobody understood them."
    for year, name, town in zip(
        range(1700, 1736),
        ["Ada", "Müller", "O'Neill", "Nguyễn"] * 9,
        ["Lisbon", "Göteborg", "St. John's"] * 12,
        strict=True,
    )
)


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": 5},
        {"top_k": 3, "max_seq_len": 256, "doc_stride": 64, "max_answer_len": 30},
        {"handle_impossible_answer": True, "max_seq_len": 512},
    ],
    ids=str,
)
def test_a_chapter_is_read_by_a_trained_encoder_as_by_version_four(
    old, trained, options
):
    ours = pipeline("question-answering", trained)
    assert len(ours.tokenizer(CHAPTER, truncation=True)["input_ids"]) == 512
    asked = {"question": "Where did captain Nguyễn go?", "context": CHAPTER} | options
    ask = functools.partial(old.ask, trained, {"model_max_length": 512})
    assert_same(ours(**asked), expected_of(ask, **asked))


# Long contexts


def by_hand(folder, question, parts, longest=15):
    """The scores of all spans in each window, from the plain model; "" is [CLS]."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForQuestionAnswering.from_pretrained(folder)
    scores = {}
    for part in parts:
        frame = ["[CLS]", *question, "[SEP]", *part, "[SEP]"]
        with torch.no_grad():
            out = model(torch.tensor([tokenizer.convert_tokens_to_ids(frame)]))
        read = [0, *range(len(question) + 2, len(frame) - 1)]
        start = out.start_logits[0, read].softmax(0).tolist()
        end = out.end_logits[0, read].softmax(0).tolist()
        scores.setdefault("", []).append(start.pop(0) * end.pop(0))
        for i in range(len(part)):
            for j in range(i, min(i + longest, len(part))):
                words = " ".join(part[i : j + 1])
                scores.setdefault(words, []).append(start[i] * end[j])
    return scores


def test_windows_overlap_and_of_what_they_share_the_better_score_counts(answer, folder):
    context = ["film", "was", "good", "but", "the", "end", "too", "long"]
    # [CLS] film [SEP] and [SEP] leave room for 5 of 9; 2 are shared.
    parts = [context[0:5], context[3:8]]
    scores = by_hand(folder, ["film"], parts)
    assert len(scores["but the"]) == 2
    del scores[""]
    answers = answer(
        question="film",
        context=" ".join(context),
        max_seq_len=9,
        doc_stride=2,
        top_k=99,
    )
    found = {one["answer"]: one["score"] for one in answers}
    assert found == pytest.approx({key: max(scores[key]) for key in scores}, abs=1e-6)


def test_the_same_words_in_different_places_add_up_and_the_surest_is_shown(
    answer, folder
):
    # In windows that share nothing: [CLS] film [SEP] and [SEP] leave room for 3 of 7.
    given = [["the", "end", "was"], ["good", "the", "end"]]
    for parts in (given, [part[::-1] for part in given[::-1]]):
        context = [word for part in parts for word in part]
        scores = by_hand(folder, ["film"], parts)
        asked = {"max_seq_len": 7, "doc_stride": 0, "top_k": 99}
        found = answer(question="film", context=" ".join(context), **asked)
        both = scores["end"]
        (end,) = (one for one in found if one["answer"] == "end")
        assert end["score"] == pytest.approx(sum(both), abs=1e-6)
        first, second = (i for i, word in enumerate(context) if word == "end")
        place = first if both[0] > both[1] else second
        assert end["start"] == len(" ".join([*context[:place], ""]))


def test_no_score_exceeds_one_where_no_words_come_twice(answer, monkeypatch):
    def certain(self, sequences, batch_size, positions):
        # The seventh word is surely the first and the last, wherever it is read.
        word = self.tokenizer.convert_tokens_to_ids("long")
        for ids, read in zip(sequences, positions, strict=True):
            at = [ids[place] == word for place in read]
            yield torch.tensor(at)[:, None].expand(-1, 2) * 30.0

    monkeypatch.setattr(type(answer), "run_each", certain)
    context = "film was good but the end long too its were"
    found = answer("film", context, max_seq_len=9, doc_stride=4, top_k=3)
    assert found[0]["answer"] == "long"
    assert found[0]["score"] == pytest.approx(1)


def test_the_answer_is_impossible_only_if_no_window_has_one(answer, folder):
    context = ["its", "were", "town", "too", "film", "far", "long", "end", "the", "but"]
    parts = [context[0:4], context[3:7], context[6:10]]
    scores = by_hand(folder, ["film"], parts)[""]
    assert scores.index(min(scores)) == 1  # neither the first nor the last
    asked = {"max_seq_len": 8, "doc_stride": 1, "top_k": 99}
    found = answer("film", " ".join(context), **asked, handle_impossible_answer=True)
    (impossible,) = (one for one in found if one["answer"] == "")
    assert impossible["score"] == pytest.approx(min(scores), rel=1e-4)
    assert (impossible["start"], impossible["end"]) == (0, 0)


@pytest.mark.parametrize("shared", [0, 1, 3])
def test_a_word_that_a_window_cuts_is_what_the_window_has_of_it(answer, theirs, shared):
    asked = {"question": "Who?", "context": "unbelievably Göteborg " * 8, "top_k": 12}
    asked |= {"max_seq_len": 14, "doc_stride": shared, "max_answer_len": 5}
    ours = answer(**asked)
    assert_same(ours, expected_of(theirs, **asked))
    parts = {word for one in ours for word in one["answer"].split()}
    assert not parts <= {"unbelievably", "Göteborg"}


def test_no_answer_goes_from_one_window_to_the_next(answer):
    context = " ".join(f"word{i % 3} good film" for i in range(30))
    for one in answer(QUESTION, context, max_seq_len=20, doc_stride=0, top_k=200):
        assert len(answer.tokenizer.tokenize(one["answer"])) <= 15


def test_a_question_that_takes_most_of_the_window_shrinks_the_overlap(answer, theirs):
    question = "the " * 34  # 128 or half of 48 tokens are more than the 11 left
    with pytest.raises(OldError, match="`stride` must be strictly less"):
        theirs(question=question, context=LONG)
    expected = expected_of(theirs, question=question, context=LONG, doc_stride=5)
    assert_same(answer(question, LONG), expected)


def test_a_stride_as_large_as_the_window_is_refused(answer, theirs):
    asked = {"question": QUESTION, "context": LONG, "max_seq_len": 20}
    with pytest.raises(OldError, match="PanicException"):
        theirs(**asked, doc_stride=12)
    with pytest.raises(ValueError, match="doc_stride is 12, and windows have room for"):
        answer(**asked, doc_stride=12)
    expected = expected_of(theirs, **asked, doc_stride=11, top_k=2)
    assert_same(answer(**asked, doc_stride=11, top_k=2), expected)


@pytest.mark.parametrize("limit", [4, 8])
def test_a_question_that_leaves_no_room_is_refused(answer, limit):
    with pytest.raises(ValueError, match=r"a question has 5 tokens, .* among"):
        answer("where was the film ?", CONTEXT, max_seq_len=limit)
    with pytest.raises(ValueError, match=r"a question has 60 tokens, .* among 48"):
        answer("the " * 60, CONTEXT)


def test_a_question_is_cut_if_that_is_asked_for(answer, theirs):
    asked = {"question": "the film was good", "context": CONTEXT}
    # Version 4.57 forgets the option with the tokenizer in Rust.
    assert_same(theirs(**asked, max_question_len=2), theirs(**asked))
    cut = answer(**asked, max_question_len=2)
    assert_same(cut, theirs(question="the film", context=CONTEXT))
    assert_same(answer(**asked), theirs(**asked))


def test_max_seq_len_cannot_exceed_what_the_model_reads(answer):
    expected = answer(QUESTION, LONG, max_seq_len=LIMIT)
    assert answer(QUESTION, LONG, max_seq_len=10_000) == expected
    assert answer(QUESTION, LONG) == expected


# What can be no answer


@pytest.mark.parametrize("context", [" ", "\n\t ", "\u200b"])
def test_a_context_without_a_token_has_no_answer(answer, theirs, context):
    nothing = {"score": 0.0, "start": 0, "end": 0, "answer": ""}
    assert theirs(question=QUESTION, context=" ") == nothing
    assert answer(QUESTION, context) == nothing
    assert answer(QUESTION, context, top_k=3) == [nothing]
    impossible = answer(QUESTION, context, handle_impossible_answer=True)
    assert impossible == nothing | {"score": 1.0}


def test_fewer_answers_than_asked_for_are_a_shorter_list(answer, theirs):
    ours = answer(QUESTION, "good film", top_k=9)
    assert {one["answer"] for one in ours} == {"good", "film", "good film"}
    # Version 4.57 adds spans of [CLS], with a score of 0.
    filled = theirs(question=QUESTION, context="good film", top_k=9)
    assert [one["score"] > 0 for one in filled] == [True] * 3 + [False]
    assert_same(ours, filled[:3])


def test_the_question_cannot_be_the_answer(answer, theirs):
    question = "Where [CLS] was it?"
    # Version 4.57 takes any [CLS] for the first: it finds answers in the question,
    # and looks them up in the context.
    wrong = theirs(question=question, context="x y", top_k=20, align_to_words=False)
    ours = answer(question, "x y", top_k=20, align_to_words=False)
    assert [one["answer"] for one in wrong if one["score"] > 0] != [
        one["answer"] for one in ours
    ]
    assert sorted(one["answer"] for one in ours) == ["x", "x y", "y"]
    assert all("x y"[one["start"] : one["end"]] == one["answer"] for one in ours)


def test_special_tokens_spelt_out_in_a_context_are_words(answer, theirs):
    asked = {"question": QUESTION, "context": "x [SEP] y[CLS]z [MASK]", "top_k": 4}
    assert_same(answer(**asked), theirs(**asked))


def test_answers_that_differ_only_in_case_are_one(answer, theirs):
    asked = {"question": QUESTION, "context": "Film good film FILM", "top_k": 10}
    ours = answer(**asked)
    assert_same(ours, without_nothings(theirs(**asked), 10))
    assert len({one["answer"].lower() for one in ours}) == len(ours)


def test_spans_are_ranked_like_all_pairs_of_a_start_and_an_end():
    generator = torch.Generator().manual_seed(0)
    for length, longest in [(1, 1), (1, 9), (5, 2), (12, 15), (30, 7), (7, 7)]:
        start, end = torch.rand(2, length, generator=generator)
        pairs = {
            (i, j): float(start[i] * end[j])
            for i in range(length)
            for j in range(i, min(i + longest, length))
        }
        expected = sorted(pairs, key=pairs.get, reverse=True)
        spans = room.best_spans(start, end, longest, 10_000)
        assert [(span.first, span.last) for span in spans] == expected
        assert [span.score for span in spans] == [pairs[pair] for pair in expected]
        assert room.best_spans(start, end, longest, 3) == spans[:3]


# Ways to ask

ONE = {"question": QUESTION, "context": CONTEXT}
TWO = {"question": "Who liked it?", "context": "It was good, said the town."}


def test_one_question_can_be_asked_in_three_ways(answer, theirs):
    expected = theirs(**ONE)
    assert_same(theirs(inputs=ONE), expected)
    assert_same(answer(ONE), expected)
    assert_same(answer(**ONE), expected)
    assert_same(answer(QUESTION, CONTEXT), expected)


def test_many_questions_can_be_asked_in_many_ways(answer, theirs):
    expected = theirs(inputs=[ONE, TWO])
    assert_same(answer([ONE, TWO]), expected)
    assert_same(answer(ONE, TWO), expected)
    questions, contexts = zip(ONE.values(), TWO.values(), strict=True)
    assert_same(answer(question=[*questions], context=[*contexts]), expected)
    assert_same(answer(question=questions, context=contexts), expected)
    assert_same(list(answer(iter([ONE, TWO]))), expected)


def test_many_questions_can_have_one_context(answer, theirs):
    questions = [QUESTION, TWO["question"], QUESTION]
    expected = theirs(question=questions, context=CONTEXT)
    assert_same(answer(question=questions, context=CONTEXT), expected)
    assert_same(list(answer(question=iter(questions), context=CONTEXT)), expected)


def test_a_list_of_one_is_answered_with_a_list_of_one(answer, theirs):
    # Version 4.57 answers without the list, unlike for two.
    assert isinstance(theirs(inputs=[ONE]), dict)
    assert_same(answer([ONE]), [theirs(**ONE)])
    assert_same(answer(question=[QUESTION], context=CONTEXT), [theirs(**ONE)])


def test_nothing_asked_is_nothing_answered(answer, theirs):
    assert answer([]) == theirs(inputs=[]) == []
    assert list(answer(iter([]))) == []
    assert answer(question=[], context=CONTEXT) == []


def test_questions_are_read_as_answers_are_taken(answer, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 2)
    answers = answer(ONE for _ in iter(int, 1))
    assert_same([next(answers) for _ in range(5)], [answer(ONE)] * 5)


def test_other_questions_in_the_batch_do_not_change_an_answer(answer):
    some = [
        {"question": odd_text(i, 3) or "?", "context": odd_text(i, 1 + 3 * i)}
        for i in range(12)
    ]
    alone = [answer(one) for one in some]
    for size in (1, 5, 100):
        assert_same(answer(some, batch_size=size), alone)


def test_an_option_of_the_pipeline_holds_unless_a_call_has_its_own(folder, answer):
    several = pipeline("question-answering", folder, top_k=3, max_answer_len=2)
    assert several(ONE) == answer(ONE, top_k=3, max_answer_len=2)
    assert several(ONE, top_k=1) == answer(ONE, max_answer_len=2)


# What is refused


@pytest.mark.parametrize("part", ["question", "context"])
def test_an_empty_text_is_refused_as_in_version_four(answer, theirs, part):
    with pytest.raises(OldError, match="cannot be empty"):
        theirs(**ONE | {part: ""})
    with pytest.raises(ValueError, match=f"the question's {part} is empty"):
        answer(ONE | {part: ""})
    with pytest.raises(ValueError, match=f"question 1's {part} is empty"):
        answer([ONE, ONE | {part: ""}])


@pytest.mark.parametrize("blank", [" ", "\n\t"])
def test_a_blank_question_is_refused(answer, blank):
    with pytest.raises(ValueError, match="the question's question is blank"):
        answer(ONE | {"question": blank})


def test_a_question_without_room_is_named_and_those_before_it_are_answered(answer):
    many = [ONE, TWO, ONE | {"question": "the " * 60}]
    with pytest.raises(ValueError, match="question 2: a question has 60 tokens"):
        answer(many)
    answers = answer(iter(many))
    assert_same([next(answers), next(answers)], answer(many[:2]))
    with pytest.raises(ValueError, match="question 2: a question has 60 tokens"):
        next(answers)


def test_windows_are_read_a_portion_at_a_time(answer, monkeypatch):
    seen = []
    whole = Engine.start

    def spied(self, sequences, wanted=None):
        seen.append(len(sequences.lengths))
        return whole(self, sequences, wanted)

    asked = {"question": QUESTION, "context": LONG, "max_seq_len": 20}
    expected = answer(**asked)
    monkeypatch.setattr(running, "TOKENS", 50)
    monkeypatch.setattr(Engine, "start", spied)
    assert_same(answer(**asked), expected)
    assert len(seen) > 3
    assert max(seen) == 3


def test_a_model_that_reads_nothing_beside_its_frame_is_refused(folder):
    model = AutoModelForQuestionAnswering.from_pretrained(folder)
    for limit in (0, 3):
        tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=limit)
        with pytest.raises(
            ValueError, match=f"model_max_length is {limit}, .* least 4"
        ):
            QuestionAnsweringPipeline(model, tokenizer)


def test_iterators_of_questions_and_contexts_are_read_as_answers_are_taken(answer):
    answers = answer(question=repeat(QUESTION), context=repeat(CONTEXT))
    assert [next(answers) for _ in range(5)] == [answer(ONE)] * 5
    answers = answer(question=iter([QUESTION] * 2), context=[CONTEXT])
    assert next(answers) == answer(ONE)
    with pytest.raises(
        ValueError, match="got 1 contexts and more questions, expected one"
    ):
        next(answers)


def test_a_row_of_a_data_set_may_have_more(answer):
    assert answer(ONE | {"id": 1, "title": "Amy"}) == answer(ONE)


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        "a string",
        b"bytes",
        {},
        {"question": QUESTION},
        ONE | {"question": 3},
        ONE | {"context": None},
        ONE | {"context": [CONTEXT]},
        (QUESTION, CONTEXT),
        [[QUESTION, CONTEXT]],
    ],
    ids=str,
)
def test_what_is_no_question_with_a_context_is_refused(answer, value):
    with pytest.raises(TypeError, match="expected a"):
        answer(value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({}, "one of the three"),
        ({"inputs": [ONE], **ONE}, "one of the three"),
        ({"question": QUESTION}, "context is None"),
        ({"context": CONTEXT}, "question is None"),
        ({"question": 1, "context": CONTEXT}, "question is 1"),
        ({"question": QUESTION, "context": [CONTEXT]}, "context is"),
        ({"question": [QUESTION], "context": 1}, "context is 1"),
    ],
    ids=str,
)
def test_half_a_question_is_refused(answer, call, message):
    with pytest.raises(TypeError, match=message):
        answer(*call.pop("inputs", []), **call)


def test_as_many_contexts_as_questions_are_needed(answer):
    with pytest.raises(ValueError, match="got 1 contexts and more questions, exp"):
        answer(question=[QUESTION] * 2, context=[CONTEXT])


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("top_k", 0, "at least 1"),
        ("top_k", None, "at least 1"),
        ("max_answer_len", 0, "at least 1"),
        ("max_answer_len", True, "at least 1"),
        ("max_seq_len", 3, "at least 4"),
        ("doc_stride", -1, "at least 0"),
        ("doc_stride", 1.5, "at least 0"),
        ("max_question_len", 0, "at least 1"),
        ("handle_impossible_answer", "yes", "True or False"),
        ("align_to_words", 1, "True or False"),
        ("batch_size", 0, "at least 1"),
    ],
)
def test_an_option_out_of_range_is_refused_wherever_it_is_given(
    answer, folder, option, value, message
):
    with pytest.raises(ValueError, match=f"{option} is .*{message}"):
        answer(ONE, **{option: value})
    with pytest.raises(ValueError, match=f"{option} is .*{message}"):
        pipeline("question-answering", folder, **{option: value})


def test_an_unknown_option_is_refused_with_the_nearest(answer):
    with pytest.raises(TypeError, match="'topk'; did you mean 'top_k'"):
        answer(ONE, topk=2)


def test_a_model_of_another_kind_is_refused(folder):
    with pytest.raises(TypeError, match="expected a DistilBertForTokenClassification"):
        pipeline(
            "ner",
            AutoModelForQuestionAnswering.from_pretrained(folder),
            tokenizer=folder,
        )


# What computes


def test_without_a_model_it_is_that_of_version_four():
    expected = ("distilbert/distilbert-base-cased-distilled-squad", "564e9b5")
    model, revision = TASKS["question-answering"].default
    assert (model, revision[:7]) == expected


def test_an_engine_answers_unless_a_model_is_given(folder, answer):
    assert isinstance(answer.model, Engine)
    model = AutoModelForQuestionAnswering.from_pretrained(folder)
    itself = pipeline("question-answering", model, tokenizer=folder, batch_size=2)
    assert itself.model is model
    many = [ONE, ONE | {"context": LONG}, ONE | {"context": "good"}]
    assert_same(itself(many, top_k=2), answer(many, top_k=2))
    tokenizer = AutoTokenizer.from_pretrained(folder, backend="python")
    python = QuestionAnsweringPipeline(Engine(model), tokenizer)
    assert_same(python(many, top_k=2), answer(many, top_k=2))


def test_sixteen_threads_share_a_pipeline(answer):
    jobs = [(ONE, {"top_k": k, "max_seq_len": n}) for k in (1, 3) for n in (20, None)]
    expected = [answer(one, **options) for one, options in jobs]
    wrong = []

    def work(number):
        for i in range(12):
            place = (i + number) % len(jobs)
            one, options = jobs[place]
            if answer(one, **options) != expected[place]:
                wrong.append(place)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
