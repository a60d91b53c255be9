"""Answers are compared as SQuAD's own evaluations do it, of 2016 and of 2018."""

from __future__ import annotations

import re
import string
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import assume, example, given, strategies as st
from transformers.data.metrics import squad_metrics as reference

from minidistil.training.answers import answer_f1, exact_match

# What the rules are about: articles, also as a part of a word, punctuation, blanks,
# letters that are not ASCII, and one whose lower case is two characters.
WORDS = ["a", "an", "The", "theory", "Ada's", "U.S.", "the-", "a_b", "été", "数学"]
ODD = ["", " ", "  ", "\n", "\u00a0", "-", "'", "!?", "—", "«a»", "£5", "İ", "ß"]
parts = st.sampled_from(WORDS + ODD)
texts = st.one_of(st.lists(parts, max_size=6).map("".join), st.text(max_size=8))
several = st.lists(texts, max_size=3)


@given(texts, several)
@example("", [])
@example("the", [])
@example("the", ["a"])
@example("x", [""])
@example("", ["x", "an"])
@example("sofa bathe", ["sof b"])  # an article is a whole word
@example("a.m. an-d", ["m"])  # punctuation goes before articles do
def test_answers_are_scored_as_squad_2_does(answer, golds):
    asked = SimpleNamespace(qas_id="q", answers=[{"text": gold} for gold in golds])
    exact, f1 = reference.get_raw_scores([asked], {"q": answer})
    assert exact_match(answer, golds) == exact["q"]
    assert answer_f1(answer, golds) == pytest.approx(f1["q"], abs=1e-12)


def squad_1(answer, golds):
    """Exact match and F1 as they were published with SQuAD 1.1, written out."""

    def normal(text):
        text = "".join(each for each in text.lower() if each not in string.punctuation)
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())

    def f1(gold):
        found, right = normal(answer).split(), normal(gold).split()
        same = sum((Counter(found) & Counter(right)).values())
        if same == 0:
            return 0.0
        precision, recall = same / len(found), same / len(right)
        return 2 * precision * recall / (precision + recall)

    return (
        max(float(normal(answer) == normal(gold)) for gold in golds),
        max(map(f1, golds)),
    )


@given(texts, st.lists(texts, min_size=1, max_size=3))
def test_answers_that_have_words_are_scored_as_squad_1_does(answer, golds):
    # Of "the" nothing is left: in 1.1 it is then no answer to anything, F1 0.
    assume(all(re.search(r"\w", reference.normalize_answer(gold)) for gold in golds))
    exact, f1 = squad_1(answer, golds)
    assert exact_match(answer, golds) == exact
    assert answer_f1(answer, golds) == pytest.approx(f1, abs=1e-12)


@pytest.mark.parametrize(
    ("answer", "golds", "exact", "f1"),
    [
        ("The  Eiffel Tower!", ["eiffel tower"], 1, 1),
        ("Eiffel", ["eiffel tower"], 0, 2 / 3),
        ("in Paris", ["Rome", "Paris"], 0, 2 / 3),  # the most alike of them
        ("b b", ["b"], 0, 2 / 3),  # a word counts as often as it is there
        ("b b c", ["b b d"], 0, 2 / 3),
        ("", [], 1, 1),
        ("Paris", [], 0, 0),
        ("", ["Paris"], 0, 0),
    ],
)
def test_an_answer_has_an_exact_match_and_an_f1(answer, golds, exact, f1):
    assert exact_match(answer, golds) == exact
    assert answer_f1(answer, golds) == pytest.approx(f1)
