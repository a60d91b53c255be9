"""The answer to a question is the best of all its windows, as BERT chooses it."""

from __future__ import annotations

import math
from itertools import chain
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, strategies as st
from transformers.data.metrics import squad_metrics as reference

from minidistil.training.answers import QuestionMeasure, Questions, best_spans

WORDS = ["ada", "wrote", "the", "first", "program", "of", "all", "times"]
CONTEXT = " ".join(WORDS)
BEFORE = 3  # [CLS] who? [SEP]
ROOM = 5  # words of a window
WINDOWS = [(0, 5), (3, 8)]  # words, from and to


def questions(golds, spans=None):
    """Questions about the same context, each in two windows."""
    windows = torch.tensor(WINDOWS * len(golds))
    ends = torch.tensor([len(" ".join(WORDS[: i + 1])) for i in range(len(WORDS))])
    starts = ends - torch.tensor([*map(len, WORDS)])
    return Questions(
        contexts=[CONTEXT] * len(golds),
        golds=golds,
        characters=[torch.stack([starts, ends], dim=1)] * len(golds),
        owners=torch.arange(len(windows)) // len(WINDOWS),
        lengths=windows[:, 1] - windows[:, 0] + BEFORE + 1,
        before=torch.full((len(windows),), BEFORE),
        firsts=windows[:, 0],
        spans=torch.zeros(len(windows), 2) if spans is None else torch.tensor(spans),
    )


TOKENS = BEFORE + ROOM + 1
few = st.integers(-20, 20).map(lambda number: number / 4)  # ties; sums are exact
logits_of = st.lists(few, min_size=4 * TOKENS, max_size=4 * TOKENS)


def chosen_by_bert(logits, longest, impossible, threshold=0.0):
    """What transformers' copy of BERT's evaluation answers."""
    features = [
        SimpleNamespace(
            example_index=0,
            unique_id=number,
            tokens=["[CLS]", "who", "[SEP]", *WORDS[start:end], "[SEP]"],
            token_to_orig_map={BEFORE + i: start + i for i in range(end - start)},
            token_is_max_context=dict.fromkeys(range(TOKENS), True),
        )
        for number, (start, end) in enumerate(WINDOWS)
    ]
    results = [
        SimpleNamespace(
            unique_id=number,
            start_logits=window[:, 0].tolist(),
            end_logits=window[:, 1].tolist(),
        )
        for number, window in enumerate(logits)
    ]
    tokenizer = SimpleNamespace(convert_tokens_to_string=" ".join)
    answers = reference.compute_predictions_logits(
        [SimpleNamespace(qas_id="q", doc_tokens=WORDS)],
        features,
        results,
        *(1000, longest, True, None, None, None, False, impossible, threshold),
        tokenizer,
    )
    return answers["q"]


@given(logits_of, st.integers(1, 6), st.booleans(), st.sampled_from([-1.0, 0.0, 3.0]))
def test_the_answer_is_the_one_that_berts_evaluation_chooses(
    numbers, longest, impossible, threshold
):
    logits = torch.tensor(numbers).view(2, TOKENS, 2)
    # Where two answers are as good, which is the first depends on the order.
    logits += torch.rand(logits.shape, generator=torch.Generator().manual_seed(1)) / 64
    measure = QuestionMeasure(
        questions([["ada"]]),
        longest=longest,
        impossible=impossible,
        threshold=threshold,
    )
    measure.add(torch.tensor([1, 0]), logits[[1, 0]])
    assert measure.answer(0) == chosen_by_bert(logits, longest, impossible, threshold)


@given(logits_of, st.integers(1, 9))
def test_the_best_span_is_the_first_of_all_spans_written_out(numbers, longest):
    logits = torch.tensor(numbers).view(2, TOKENS, 2)
    inside = torch.zeros(2, TOKENS, dtype=torch.bool)
    inside[0, 2:5] = inside[1, 3:9] = True
    found = best_spans(logits, inside, longest)
    for window in range(2):
        spans = [
            (float(logits[window, first, 0] + logits[window, last, 1]), first, last)
            for first in range(TOKENS)
            for last in range(first, min(first + longest, TOKENS))
            if inside[window, first] and inside[window, last]
        ]
        wanted = max(spans, key=lambda span: span[0])
        assert tuple(each[window].item() for each in found) == wanted


def test_a_window_without_a_word_of_the_context_has_no_span():
    score, _, _ = best_spans(
        torch.ones(1, 4, 2), torch.zeros(1, 4, dtype=torch.bool), 3
    )
    assert score.tolist() == [-math.inf]


def sharp(first, last, height=9.0):
    """Logits of a window that are high at one span."""
    logits = torch.zeros(TOKENS, 2)
    logits[first, 0] = logits[last, 1] = height
    return logits


NONE = sharp(0, 0)


def answered(golds, *windows, **options):
    measure = QuestionMeasure(questions(golds), **options)
    measure.add(torch.arange(len(windows)), torch.stack(windows))
    return measure


def test_the_best_of_all_windows_counts():
    measure = answered([["first"]], sharp(4, 4, 5.0), sharp(3, 4, 6.0))
    assert measure.answer(0) == "first program"


def test_of_answers_that_are_as_good_that_of_the_first_window_stays():
    for order in ([0, 1], [1, 0]):
        windows = torch.stack([sharp(3, 3), sharp(7, 7)])
        measure = QuestionMeasure(questions([["ada"]]))
        measure.add(torch.tensor(order), windows[order])
        assert measure.answer(0) == "ada"


def test_there_is_an_answer_where_data_have_no_impossible_question():
    assert answered([["ada"]], NONE, NONE).answer(0) != ""
    assert answered([["ada"], []], NONE, NONE, NONE, NONE).answer(0) == ""


def test_each_window_has_to_deny_an_answer():
    options = {"impossible": True}
    assert answered([["ada"]], NONE, NONE, **options).answer(0) == ""
    assert answered([["ada"]], NONE, sharp(4, 4), **options).answer(0) == "program"


def test_no_answer_has_to_be_better_by_more_than_the_threshold():
    # Of both the logits have the sum 10 or, without an answer, 12.
    windows = [sharp(3, 3, 5.0), sharp(3, 3, 5.0)]
    for window in windows:
        window[0] = 6.0
    options = {"impossible": True}
    assert answered([["ada"]], *windows, threshold=2.0, **options).answer(0) == "ada"
    assert answered([["ada"]], *windows, threshold=1.9, **options).answer(0) == ""


def test_a_model_that_gives_nan_gives_no_answer():
    windows = torch.full((2, TOKENS, 2), math.nan)
    assert answered([["ada"]], *windows).answer(0) == ""


def test_a_score_of_nan_is_passed_over():
    window = sharp(3, 3)
    window[6, 0] = math.nan
    assert answered([["ada"]], window, NONE).answer(0) == "ada"


def test_the_figures_are_those_of_squad_2():
    golds = [["ada", "Ada wrote"], ["the first program"], [], []]
    measure = answered(
        golds,
        *(sharp(3, 4), NONE),
        *(sharp(6, 7), NONE),
        *(NONE, NONE),
        *(sharp(3, 3), NONE),
    )
    answers = {str(number): measure.answer(number) for number in range(4)}
    assert answers == {"0": "ada wrote", "1": "first program", "2": "", "3": "ada"}
    asked = [
        SimpleNamespace(qas_id=str(number), answers=[{"text": gold} for gold in each])
        for number, each in enumerate(golds)
    ]
    wanted = reference.squad_evaluate(asked, answers)
    results, details = measure.results(), measure.details()
    for found, prefix, count in (
        (results, "", 4),
        (details["answerable"], "HasAns_", 2),
        (details["impossible"], "NoAns_", 2),
    ):
        assert wanted[f"{prefix}total"] == found.get("questions", 4) == count
        assert found["exact_match"] * 100 == pytest.approx(wanted[f"{prefix}exact"])
        assert found["f1"] * 100 == pytest.approx(wanted[f"{prefix}f1"])


def test_the_loss_is_the_mean_of_both_ends_without_padding():
    spans = [[3, 4], [0, 0]]
    logits = torch.randn(2, TOKENS, 2)
    padded = F.pad(logits, (0, 0, 0, 7), value=50.0)
    measure = QuestionMeasure(questions([["ada"]], spans))
    measure.add(torch.arange(2), padded)
    wanted = F.cross_entropy(
        logits.transpose(1, 2).flatten(0, 1), torch.tensor([3, 4, 0, 0])
    )
    assert measure.results()["loss"] == pytest.approx(float(wanted), rel=1e-6)
    alone = QuestionMeasure(questions([["ada"]], spans))
    alone.add(torch.arange(2), logits)
    assert alone.results() == measure.results()


def test_a_question_counts_once_whoever_reads_its_windows():
    golds = [["ada"], ["wrote"], []]
    logits = torch.randn(6, TOKENS, 2)
    whole = QuestionMeasure(questions(golds))
    whole.add(torch.arange(6), logits)
    assert whole.details()["questions"] == 3
    merged = QuestionMeasure(questions(golds))
    for rows in ([1, 2, 5], [0, 4, 3]):
        part = QuestionMeasure(questions(golds))
        part.add(torch.tensor(rows), logits[rows])
        merged.merge(part.state())
    assert merged.results() == whole.results()
    assert merged.details() == whole.details()


def test_the_worst_answers_have_no_right_word():
    golds = [["ada"], ["first program"], ["wrote the first"], []]
    spans = [[3, 3], [0, 0], [6, 7], [0, 0], [4, 6], [0, 0], [0, 0], [0, 0]]
    measure = QuestionMeasure(questions(golds, spans))
    found = [sharp(7, 7, 5.0), sharp(6, 7), sharp(4, 4), sharp(3, 3)]
    measure.add(
        torch.arange(8), torch.stack([*chain(*zip(found, [NONE] * 4, strict=True))])
    )
    worst = measure.details()["worst"]
    assert [(each["true"], each["predicted"]) for each in worst] == [
        ("", "ada"),
        ("ada", "program"),
    ]
