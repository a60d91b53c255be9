"""A measure gives what the metrics give of all rows, in whatever order they come."""

from __future__ import annotations

import json
import math
import random
from itertools import chain

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, strategies as st
from scipy import stats
from seqeval.metrics.v1 import precision_recall_fscore_support
from seqeval.scheme import IOB2
from sklearn import metrics as reference

from minidistil.training.answers import QuestionMeasure, Questions
from minidistil.training.entities import WordMeasure
from minidistil.training.measures import WORST, Mean
from minidistil.training.objectives import IGNORED
from minidistil.training.text_measures import (
    ChoiceMeasure,
    LabelMeasure,
    MaskedMeasure,
    RegressionMeasure,
    SeveralLabelsMeasure,
)

ROWS = 37
NAMES = ["bad", "good", "so-so"]
TAGS = ["O", "B-X", "I-X", "B-Y", "I-Y"]
LENGTHS = torch.randint(3, 9, (ROWS,), generator=torch.Generator().manual_seed(1))
STARTS = torch.cat([torch.zeros(1, dtype=torch.int64), LENGTHS.cumsum(0)])
LONGEST = int(LENGTHS.max())


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def integers(high, *shape, seed=2):
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))


def word_labels(names=TAGS):
    labels = integers(len(names), int(STARTS[-1]))
    labels[STARTS[:-1]] = labels[STARTS[1:] - 1] = IGNORED  # [CLS] and [SEP]
    return labels


def questions():
    """Two windows each, of a context of ten words; every third has no answer."""
    context = "ab cd ef gh ij kl mn op qr st"
    characters = torch.tensor([[3 * word, 3 * word + 2] for word in range(10)])
    count = ROWS // 2 + 1
    return Questions(
        contexts=[context] * count,
        golds=([["ef gh"], ["cd", "cd ef"], []] * count)[:count],
        characters=[characters] * count,
        owners=torch.arange(ROWS) // 2,
        lengths=torch.full((ROWS,), 7),
        before=torch.full((ROWS,), 1),
        firsts=torch.arange(ROWS) % 2 * 5,
        spans=torch.tensor([[3, 4], [2, 2], [0, 0]]).repeat(ROWS, 1)[:ROWS],
    )


# By a name: an empty measure, and the logits of all its rows.
MEASURES = {
    "labels": (
        lambda: LabelMeasure(NAMES, integers(3, ROWS)),
        drawn(ROWS, 3),
    ),
    "choices": (
        lambda: ChoiceMeasure(integers(4, ROWS), torch.full((ROWS,), 4)),
        drawn(ROWS, 4),
    ),
    "several labels": (
        lambda: SeveralLabelsMeasure(NAMES, integers(2, ROWS, 3).float()),
        drawn(ROWS, 3),
    ),
    "numbers": (lambda: RegressionMeasure(drawn(ROWS, 1, seed=5)), drawn(ROWS, 1)),
    "words": (
        lambda: WordMeasure(TAGS, word_labels(), STARTS),
        drawn(ROWS, LONGEST, len(TAGS)),
    ),
    "parts of speech": (
        lambda: WordMeasure(NAMES, word_labels(NAMES), STARTS),
        drawn(ROWS, LONGEST, 3),
    ),
    "questions": (lambda: QuestionMeasure(questions()), drawn(ROWS, 7, 2)),
    "hidden words": (
        lambda: MaskedMeasure(ROWS),
        torch.cat([drawn(ROWS, 1).abs() * 9, integers(2, ROWS, 2) + 3.0], dim=1),
    ),
}
of_each = pytest.mark.parametrize("name", MEASURES)


def measured(name, batches):
    """Add the rows in some batches."""
    new, logits = MEASURES[name]
    measure = new()
    for rows in batches:
        measure.add(rows, logits[rows])
    return measure


def everything(measure):
    return measure.results(), measure.details()


@of_each
@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_results_are_the_same_for_any_number_of_processes(name, processes):
    whole = measured(name, [torch.arange(ROWS)])
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(processes))
    passes = order.split(4)
    states = [
        measured(name, passes[rank::processes]).state() for rank in range(processes)
    ]
    merged = MEASURES[name][0]()
    for state in states[::-1]:
        merged.merge(state)
    assert everything(merged) == everything(whole)
    # Merging has changed nothing that belongs to another process.
    again = MEASURES[name][0]()
    for state in states:
        again.merge(state)
    assert everything(again) == everything(whole)


@of_each
def test_a_row_that_is_counted_twice_is_an_error(name):
    new, logits = MEASURES[name]
    measure = measured(name, [torch.tensor([1, 5])])
    with pytest.raises(ValueError, match="row 5 was counted twice"):
        measure.add(torch.tensor([5, 6]), logits[[5, 6]])
    with pytest.raises(ValueError, match="counted twice"):
        new().add(torch.tensor([3, 3]), logits[[3, 3]])
    with pytest.raises(ValueError, match="row 1 was counted twice"):
        measured(name, [torch.tensor([1])]).merge(
            measured(name, [torch.tensor([1])]).state()
        )


def plain(value):
    if isinstance(value, (list, tuple)):
        return all(map(plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and plain(value[key]) for key in value)
    return value is None or type(value) in (int, float, str, torch.Tensor)


@of_each
def test_a_state_is_tensors_and_plain_python_and_does_not_change(name):
    new, logits = MEASURES[name]
    measure = measured(name, [torch.arange(9)])
    before, results = measure.state(), measure.results()
    assert plain(before)
    measure.add(torch.arange(9, ROWS), logits[9:])
    again = new()
    again.merge(before)
    assert again.results() == results


@of_each
def test_details_are_json(name):
    measure = measured(name, [torch.arange(ROWS)])
    details = measure.details()
    assert json.loads(json.dumps(details, allow_nan=False)) == details


@of_each
def test_details_of_nothing_are_json_too(name):
    details = MEASURES[name][0]().details()
    assert json.loads(json.dumps(details, allow_nan=False)) == details


@of_each
def test_a_model_that_gives_nan_has_a_loss_of_nan(name):
    new, logits = MEASURES[name]
    measure = new()
    broken = torch.full_like(logits, math.nan)
    if name == "hidden words":
        broken[:, 1:] = logits[:, 1:]
    measure.add(torch.arange(ROWS), broken)
    assert math.isnan(measure.results()["loss"])
    json.dumps(measure.details(), allow_nan=False)


@of_each
def test_results_are_those_that_the_measure_names_and_the_loss(name):
    measure = measured(name, [torch.arange(ROWS)])
    assert [*measure.results()] == [*measure.metrics]
    assert measure.metrics[-1] == "loss"


@of_each
def test_logits_of_other_rows_are_an_error(name):
    new, logits = MEASURES[name]
    with pytest.raises(ValueError, match="logits are of 3 rows, expected 2"):
        new().add(torch.arange(2), logits[:3])


# What each of them measures


def close(found, wanted):
    return found == pytest.approx(wanted, rel=1e-6, nan_ok=True)


def test_labels_have_the_metrics_of_scikit_learn():
    measure = measured("labels", torch.arange(ROWS).split(5))
    real, logits = measure.labels, MEASURES["labels"][1]
    found = logits.argmax(1)
    assert close(
        measure.results(),
        {
            "accuracy": reference.accuracy_score(real, found),
            "f1_macro": reference.f1_score(real, found, average="macro"),
            "matthews": reference.matthews_corrcoef(real, found),
            "loss": float(F.cross_entropy(logits, real)),
        },
    )
    table = measure.details()["confusion"]
    assert table["labels"] == NAMES
    assert table["counts"] == reference.confusion_matrix(real, found).tolist()


def test_of_two_labels_f1_is_that_of_the_second():
    real, logits = integers(2, ROWS), drawn(ROWS, 2)
    measure = LabelMeasure(["no", "yes"], real)
    measure.add(torch.arange(ROWS), logits)
    wanted = reference.f1_score(real, logits.argmax(1))
    assert close(measure.results()["f1"], wanted)


def test_macro_f1_leaves_out_labels_that_never_occur():
    measure = LabelMeasure(NAMES, torch.tensor([0, 1, 1]))
    logits = torch.eye(3)[[0, 1, 0]]
    measure.add(torch.arange(3), logits)
    wanted = reference.f1_score([0, 1, 1], [0, 1, 0], average="macro")
    assert close(measure.results()["f1_macro"], wanted)


def test_each_label_has_a_line_in_the_table():
    measure = measured("labels", [torch.arange(ROWS)])
    real, found = measure.labels, MEASURES["labels"][1].argmax(1)
    wanted = reference.classification_report(
        real, found, target_names=NAMES, output_dict=True
    )
    for line in measure.details()["per_label"]:
        figures = wanted[line.pop("label")]
        figures["f1"] = figures.pop("f1-score")
        assert close(line, figures)


def test_choices_have_an_accuracy():
    measure = measured("choices", torch.arange(ROWS).split(5))
    real, logits = measure.labels, MEASURES["choices"][1]
    assert close(
        measure.results(),
        {
            "accuracy": reference.accuracy_score(real, logits.argmax(1)),
            "loss": float(F.cross_entropy(logits, real)),
        },
    )


def test_a_choice_that_a_group_does_not_have_changes_nothing():
    logits = drawn(2, 3)
    logits[1, 2] = 9.0
    measure = ChoiceMeasure(torch.tensor([0, 1]), torch.tensor([3, 2]))
    measure.add(torch.arange(2), logits)
    wanted = F.cross_entropy(logits[:1], torch.tensor([0])) + F.cross_entropy(
        logits[1:, :2], torch.tensor([1])
    )
    assert close(measure.results()["loss"], float(wanted) / 2)
    right = (logits[0].argmax() == 0) + int(logits[1, :2].argmax() == 1)
    assert measure.results()["accuracy"] == float(right) / 2


def test_several_labels_have_the_metrics_of_scikit_learn():
    measure = measured("several labels", torch.arange(ROWS).split(5))
    real, logits = measure.labels, MEASURES["several labels"][1]
    found = logits.sigmoid() > 0.5
    assert close(
        measure.results(),
        {
            "f1_micro": reference.f1_score(real, found, average="micro"),
            "f1_macro": reference.f1_score(real, found, average="macro"),
            "accuracy": reference.accuracy_score(real, found),
            "loss": float(F.binary_cross_entropy_with_logits(logits, real)),
        },
    )
    for i, line in enumerate(measure.details()["per_label"]):
        assert line["label"] == NAMES[i]
        assert close(
            line["precision"], reference.precision_score(real[:, i], found[:, i])
        )
        assert close(line["recall"], reference.recall_score(real[:, i], found[:, i]))


def test_numbers_have_the_correlations_of_scipy():
    measure = measured("numbers", torch.arange(ROWS).split(5))
    wanted, found = measure.wanted[:, 0], MEASURES["numbers"][1][:, 0]
    assert close(
        measure.results(),
        {
            "pearson": stats.pearsonr(found, wanted).statistic,
            "spearman": stats.spearmanr(found, wanted).statistic,
            "loss": float(F.mse_loss(found, wanted)),
        },
    )


def test_several_numbers_have_the_mean_correlation():
    wanted, found = drawn(ROWS, 2, seed=5), drawn(ROWS, 2)
    measure = RegressionMeasure(wanted)
    measure.add(torch.arange(ROWS), found)
    for name, function in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        each = [function(found[:, i], wanted[:, i]).statistic for i in range(2)]
        assert close(measure.results()[name], sum(each) / 2)


def test_numbers_that_were_not_added_do_not_count():
    some = torch.arange(3, 20)
    measure = measured("numbers", [some])
    wanted, found = measure.wanted[some, 0], MEASURES["numbers"][1][some, 0]
    correlation = stats.pearsonr(found, wanted).statistic
    assert close(measure.results()["pearson"], correlation)


def test_a_constant_prediction_has_no_correlation_but_a_loss():
    measure = RegressionMeasure(torch.tensor([1.0, 2.0]))
    measure.add(torch.arange(2), torch.zeros(2, 1))
    found = measure.results()
    assert math.isnan(found["pearson"])
    assert math.isnan(found["spearman"])
    assert found["loss"] == 2.5


def words_of(measure, logits):
    """The labels of all words, row by row: the real ones, and those that were found."""
    real, found = [], []
    for row in range(ROWS):
        labels = measure.labels[STARTS[row] : STARTS[row + 1]].tolist()
        guesses = logits[row].argmax(1).tolist()
        kept = [i for i, label in enumerate(labels) if label != IGNORED]
        real.append([measure.names[labels[i]] for i in kept])
        found.append([measure.names[guesses[i]] for i in kept])
    return real, found


def test_entities_have_the_strict_metrics_of_seqeval():
    measure = measured("words", torch.arange(ROWS).split(5))
    real, found = words_of(measure, MEASURES["words"][1])
    options = {"scheme": IOB2, "zero_division": 0}
    precision, recall, f1, _ = precision_recall_fscore_support(
        real, found, average="micro", **options
    )
    results = measure.results()
    assert close(
        [results["precision"], results["recall"], results["f1"]],
        [precision, recall, f1],
    )
    each = precision_recall_fscore_support(real, found, average=None, **options)
    details = measure.details()
    assert [line["label"] for line in details["per_label"]] == ["X", "Y"]
    for i, line in enumerate(details["per_label"]):
        assert close([*line.values()][1:], [column[i] for column in each])


def test_words_have_an_accuracy_and_a_loss():
    measure = measured("parts of speech", torch.arange(ROWS).split(5))
    logits = MEASURES["parts of speech"][1]
    real, found = ([*chain(*each)] for each in words_of(measure, logits))
    of_all = torch.cat(
        [row[:length] for row, length in zip(logits, LENGTHS, strict=True)]
    )
    assert close(
        measure.results(),
        {
            "accuracy": reference.accuracy_score(real, found),
            "f1_macro": reference.f1_score(real, found, average="macro"),
            "loss": float(F.cross_entropy(of_all, measure.labels)),
        },
    )


def test_macro_f1_of_words_leaves_out_labels_that_never_occur():
    measure = WordMeasure(NAMES, torch.tensor([0, 1, 1]), torch.tensor([0, 3]))
    measure.add(torch.arange(1), torch.eye(3)[[0, 1, 0]][None])
    wanted = reference.f1_score([0, 1, 1], [0, 1, 0], average="macro")
    assert close(measure.results()["f1_macro"], wanted)


def test_rows_without_a_word_count_for_nothing():
    labels = torch.full((4,), IGNORED)
    measure = WordMeasure(TAGS, labels, torch.tensor([0, 2, 4]))
    measure.add(torch.arange(2), drawn(2, 2, len(TAGS)))
    assert math.isnan(measure.results()["accuracy"])


def test_words_are_measured_by_the_scheme_of_their_real_labels():
    measure = WordMeasure(
        ["O", "I-X", "B-X"], torch.tensor([1, 1, 0, 1]), torch.tensor([0, 4])
    )
    measure.add(torch.arange(1), torch.eye(3)[[1, 1, 0, 1]][None])
    assert measure.details()["scheme"] == "CoNLL"
    assert measure.results()["f1"] == 1.0


def test_hidden_words_have_a_perplexity_over_all_words_not_over_rows():
    measure = MaskedMeasure(2)
    measure.add(torch.arange(2), torch.tensor([[2.0, 1, 1], [12.0, 6, 2]]))
    assert close(
        measure.results(),
        {"perplexity": math.exp(2.0), "accuracy": 3 / 7, "loss": 2.0},
    )


# The worst mistakes


def test_the_worst_mistakes_are_the_surest():
    rows = 3 * WORST
    labels, logits = integers(3, rows), drawn(rows, 3)
    measure = LabelMeasure(NAMES, labels)
    for some in torch.randperm(rows).split(7):
        measure.add(some, logits[some])
    losses = F.cross_entropy(logits, labels, reduction="none").tolist()
    found = logits.argmax(1)
    wrong = [row for row in range(rows) if found[row] != labels[row]]
    wanted = sorted(wrong, key=lambda row: -losses[row])[:WORST]
    worst = measure.details()["worst"]
    assert [each["row"] for each in worst] == wanted
    for each in worst:
        row = each["row"]
        assert each["true"] == NAMES[labels[row]]
        assert each["predicted"] == NAMES[found[row]]
        assert each["loss"] == pytest.approx(losses[row])


def test_of_mistakes_that_are_as_sure_the_first_rows_stay():
    rows = 2 * WORST
    measure = LabelMeasure(NAMES, torch.zeros(rows, dtype=torch.int64))
    for some in torch.arange(rows).flip(0).split(7):
        measure.add(some, torch.tensor([[0.0, 1.0, 0.0]]).repeat(len(some), 1))
    assert [each["row"] for each in measure.details()["worst"]] == [*range(WORST)]


def test_a_right_answer_is_no_mistake():
    measure = LabelMeasure(NAMES, torch.tensor([0, 1, 2]))
    measure.add(torch.arange(3), torch.eye(3)[[0, 0, 2]])
    assert [each["row"] for each in measure.details()["worst"]] == [1]


def test_a_mistake_without_a_loss_is_worse_than_any_other():
    measure = LabelMeasure(NAMES, torch.tensor([0, 0, 0]))
    logits = torch.tensor([[0.0, 9, 0], [0, math.nan, 0], [0, 5, 0]])
    measure.add(torch.arange(3), logits)
    worst = measure.details()["worst"]
    assert [each["row"] for each in worst] == [1, 0, 2]
    assert worst[0]["loss"] is None


def test_a_text_has_one_mistake_at_most_its_surest_word():
    measure = WordMeasure(TAGS, torch.tensor([0, 0, 0]), torch.tensor([0, 3]))
    logits = torch.tensor([[0.0, 1, 0, 0, 0], [0, 0, 5, 0, 0], [9, 0, 0, 0, 0]])
    measure.add(torch.arange(1), logits[None])
    (worst,) = measure.details()["worst"]
    assert (worst["row"], worst["place"]) == (0, 1)
    assert (worst["true"], worst["predicted"]) == ("O", "I-X")


def test_a_mistake_about_several_labels_lists_them():
    measure = SeveralLabelsMeasure(NAMES, torch.tensor([[1.0, 0, 1], [0, 1, 0]]))
    measure.add(torch.arange(2), torch.tensor([[-1.0, -2, -3], [-4, 4, -4]]))
    (worst,) = measure.details()["worst"]
    assert (worst["row"], worst["true"], worst["predicted"]) == (0, "bad, so-so", "")


# A mean that does not depend on the order


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_a_mean_is_the_same_in_any_order(numbers):
    numbers = [number / len(numbers) for number in numbers]  # a sum that is finite
    forward, other = Mean(), Mean()
    forward.add(torch.tensor(numbers, dtype=torch.float64))
    random.Random(0).shuffle(numbers)
    for number in numbers:
        part = Mean()
        part.add(torch.tensor([number], dtype=torch.float64))
        other.merge(part.state())
    assert forward.value == other.value
    assert forward.value == pytest.approx(math.fsum(numbers) / len(numbers))


def test_a_mean_with_an_infinite_number_is_infinite_and_with_nan_nan():
    mean = Mean()
    mean.add(torch.tensor([1.0, math.inf]))
    assert mean.value == math.inf
    mean.add(torch.tensor([math.nan]))
    assert math.isnan(mean.value)
    merged = Mean()
    merged.merge(mean.state())
    assert math.isnan(merged.value)
