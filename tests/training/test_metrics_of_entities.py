"""Entities are read and counted as seqeval does it."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given, strategies as st
from seqeval import scheme as reference
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as lenient
from seqeval.metrics.v1 import precision_recall_fscore_support as strict

from minidistil.training.entities import CONLL, compared, entities, scheme_of, tags_of
from minidistil.training.metrics import total

LETTERS = {"IOB2": "BI", "IOBES": "BIES", "BILOU": "BILU", CONLL: "BI"}


def labels_of(scheme):
    return ["O", *(f"{letter}-{kind}" for letter in LETTERS[scheme] for kind in "XY")]


def rows_of(scheme):
    """Rows of (real, found) labels, with hardly a rule in them."""
    label = st.sampled_from(labels_of(scheme))
    row = st.lists(st.tuples(label, label), min_size=1, max_size=7)
    return st.lists(row, min_size=1, max_size=4)


def figures(rows, scheme):
    """Precision, recall and F1, of all and by kind."""
    counts = {}
    for row in rows:
        real, found = (tags_of_row(labels) for labels in zip(*row, strict=True))
        for kind, each in compared(
            entities(found, scheme), entities(real, scheme)
        ).items():
            counts[kind] = total([each, *([counts[kind]] if kind in counts else [])])
    of_all = total(counts.values())
    by_kind = [counts[kind] for kind in sorted(counts)]
    return [(c.precision, c.recall, c.f1, c.real) for c in (of_all, *by_kind)]


def tags_of_row(labels):
    # "O" and "B" make every row one that is about entities.
    return tags_of([*labels, "O", "B"])[: len(labels)]


def seqeval(rows, function, **options):
    real = [[label for label, _ in row] for row in rows]
    found = [[label for _, label in row] for row in rows]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is never real, or never found
        of_all = function(real, found, average="micro", **options)
        by_kind = function(real, found, average=None, **options)
    return [of_all, *zip(*by_kind, strict=True)]


def alike(found, wanted):
    return [*map(tuple, found)] == [pytest.approx(each, abs=1e-12) for each in wanted]


@pytest.mark.parametrize(
    ("scheme", "theirs"),
    [
        ("IOB2", reference.IOB2),
        ("IOBES", reference.IOBES),
        ("BILOU", reference.BILOU),
    ],
)
@given(data=st.data())
def test_a_scheme_is_read_as_seqeval_does_in_its_strict_mode(scheme, theirs, data):
    rows = data.draw(rows_of(scheme))
    assert alike(figures(rows, scheme), seqeval(rows, strict, scheme=theirs))


@pytest.mark.parametrize("scheme", ["IOB2", "IOBES"])
@given(data=st.data())
def test_conlls_reading_is_seqevals_default(scheme, data):
    rows = data.draw(rows_of(scheme))
    assert alike(figures(rows, CONLL), seqeval(rows, lenient))


@given(rows_of("IOB2"))
def test_labels_without_a_kind_are_read_as_seqeval_does(rows):
    bare = [[(real[0], found[0]) for real, found in row] for row in rows]
    wanted = seqeval(bare, strict, scheme=reference.IOB2)
    assert alike(figures(bare, "IOB2"), wanted)


def read(labels, scheme):
    return {tuple(entity) for entity in entities(tags_of_row(labels.split()), scheme)}


def test_an_i_without_b_is_no_entity_but_in_conlls_reading():
    assert read("O I-PER I-PER", "IOB2") == set()
    assert read("O I-PER I-PER", CONLL) == {("PER", 1, 3)}


def test_an_entity_ends_where_another_kind_begins():
    assert read("B-PER I-LOC", "IOB2") == {("PER", 0, 1)}
    assert read("B-PER I-LOC", CONLL) == {("PER", 0, 1), ("LOC", 1, 2)}


def test_an_entity_without_its_last_word_is_none_in_iobes():
    assert read("B-PER I-PER O", "IOBES") == set()
    assert read("B-PER I-PER E-PER", "IOBES") == {("PER", 0, 3)}


def test_a_kind_may_have_a_hyphen():
    assert read("B-work-of-art I-work-of-art", "IOB2") == {("work-of-art", 0, 2)}


@pytest.mark.parametrize(
    ("rows", "scheme"),
    [
        (["O B-PER I-PER", "B-LOC O"], "IOB2"),
        # One I too many is a slip, and does not make another scheme.
        (["O B-PER I-PER", "B-LOC O B-LOC", "I-LOC O"], "IOB2"),
        (["O I-PER I-PER B-PER", "I-LOC O"], CONLL),  # IOB1
        (["O I-PER O"], CONLL),
        (["O I-PER E-PER", "E-LOC O E-LOC"], CONLL),  # IOE2
        (["O S-PER B-PER E-PER"], "IOBES"),
        (["O U-PER B-PER I-PER L-PER"], "BILOU"),
        (["O O"], "IOB2"),
    ],
)
def test_the_scheme_is_that_of_the_real_labels(rows, scheme):
    assert scheme_of([tags_of_row(row.split()) for row in rows]) == scheme


@pytest.mark.parametrize(
    "names", [["NN", "VB", "IN"], ["O"], ["B-PER", "I-PER"], ["O", "BPER"], ["O", ""]]
)
def test_labels_that_are_not_about_entities_are_no_tags(names):
    assert tags_of(names) is None
