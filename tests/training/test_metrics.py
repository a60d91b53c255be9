"""The metrics are those of scikit-learn and scipy, in odd cases too."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from hypothesis import example, given, strategies as st
from scipy import stats
from sklearn import metrics as reference

from minidistil.training import metrics

CLASSES = 4
# Few classes and few rows: often one is never real, never found, or there is one row.
answers = st.lists(
    st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)),
    min_size=1,
    max_size=12,
)
# Few different numbers: many ties, often all are the same.
few = st.sampled_from([0.0, 0.1, 0.3, -2.5, 1e6])
pairs = st.lists(st.tuples(few, few), min_size=2, max_size=9)
numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
number_pairs = st.lists(st.tuples(numbers, numbers), min_size=2, max_size=9)


def confusion_of(rows, classes=CLASSES):
    matrix = torch.zeros(classes, classes, dtype=torch.int64)
    for real, found in rows:
        matrix[real, found] += 1
    return matrix


def close(found, wanted):
    return found == pytest.approx(wanted, rel=1e-12, abs=1e-12, nan_ok=True)


@given(answers)
def test_accuracy_is_that_of_scikit_learn(rows):
    found = metrics.accuracy(confusion_of(rows))
    assert close(found, reference.accuracy_score(*zip(*rows, strict=True)))


@given(answers)
def test_macro_f1_is_that_of_scikit_learn(rows):
    occurring = [each for each in metrics.counts_of(confusion_of(rows)) if each.occurs]
    real, found = zip(*rows, strict=True)
    wanted = reference.f1_score(real, found, average="macro", zero_division=0)
    assert close(metrics.macro_f1(occurring), wanted)


@given(answers)
def test_each_class_has_the_figures_of_scikit_learn(rows):
    counts = metrics.counts_of(confusion_of(rows))
    real, found = zip(*rows, strict=True)
    wanted = reference.precision_recall_fscore_support(
        real, found, labels=range(CLASSES), zero_division=0
    )
    for each, *figures in zip(counts, *wanted, strict=True):
        assert close([each.precision, each.recall, each.f1, each.real], figures)


@given(answers)
def test_binary_f1_is_that_of_the_second_of_two_classes(rows):
    two = [(real % 2, found % 2) for real, found in rows]
    counts = metrics.counts_of(confusion_of(two, 2))
    wanted = reference.f1_score(*zip(*two, strict=True), zero_division=0)
    assert close(counts[1].f1, wanted)


@given(answers)
@example([(0, 1)])
@example([(0, 0), (1, 0), (2, 0)])
def test_matthews_is_that_of_scikit_learn(rows):
    found = metrics.matthews(confusion_of(rows))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of one class
        assert close(found, reference.matthews_corrcoef(*zip(*rows, strict=True)))


def test_matthews_of_many_rows_does_not_overflow():
    many = 10**10
    matrix = torch.tensor([[many, 0], [0, many]])
    assert metrics.matthews(matrix) == 1.0


@given(st.lists(st.tuples(*[st.integers(0, 1)] * 6), min_size=1, max_size=9))
def test_micro_f1_of_several_labels_is_that_of_scikit_learn(rows):
    real, found = [row[:3] for row in rows], [row[3:] for row in rows]
    counts = [
        metrics.Counts(
            sum(r[i] and f[i] for r, f in zip(real, found, strict=True)),
            sum(row[i] for row in found),
            sum(row[i] for row in real),
        )
        for i in range(3)
    ]
    for mine, average in (
        (metrics.total(counts).f1, "micro"),
        (metrics.macro_f1(counts), "macro"),
    ):
        wanted = reference.f1_score(real, found, average=average, zero_division=0)
        assert close(mine, wanted)


def correlations(rows, mine, theirs):
    x, y = (torch.tensor(each, dtype=torch.float64) for each in zip(*rows, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constant numbers
        return mine(x, y), theirs(x.numpy(), y.numpy()).statistic


@given(pairs)
def test_pearson_of_numbers_that_repeat_is_that_of_scipy(rows):
    mine, wanted = correlations(rows, metrics.pearson, stats.pearsonr)
    assert mine == pytest.approx(wanted, abs=1e-9, nan_ok=True)


@given(number_pairs)
def test_pearson_is_that_of_scipy(rows):
    mine, wanted = correlations(rows, metrics.pearson, stats.pearsonr)
    # Numbers that are nearly the same: both are then rounding, as scipy warns.
    x, y = zip(*rows, strict=True)
    if all(max(z) - min(z) > 1e-6 * max(map(abs, z)) for z in (x, y)):
        assert mine == pytest.approx(wanted, abs=1e-6, nan_ok=True)


@given(st.one_of(pairs, number_pairs))
def test_spearman_is_that_of_scipy(rows):
    mine, wanted = correlations(rows, metrics.spearman, stats.spearmanr)
    assert mine == pytest.approx(wanted, abs=1e-9, nan_ok=True)


@given(st.lists(few, min_size=1, max_size=9))
def test_equal_numbers_share_a_rank(values):
    found = metrics.ranks(torch.tensor(values, dtype=torch.float64))
    assert found.tolist() == stats.rankdata(values).tolist()


@pytest.mark.parametrize("correlation", [metrics.pearson, metrics.spearman])
@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ([], []),
        ([1.0], [2.0]),
        ([0.1, 0.1, 0.1], [1.0, 2.0, 3.0]),  # their mean is not 0.1
        ([1.0, 2.0, 3.0], [0.1, 0.1, 0.1]),
        ([1.0, math.nan, 3.0], [1.0, 2.0, 3.0]),
    ],
)
def test_a_correlation_that_is_undefined_is_nan(correlation, found, wanted):
    both = (torch.tensor(each, dtype=torch.float64) for each in (found, wanted))
    assert math.isnan(correlation(*both))


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_a_correlation_does_not_depend_on_the_unit(scale):
    x = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    y = torch.tensor([3.0, 2.0, 9.0], dtype=torch.float64)
    wanted = stats.pearsonr(x.numpy(), y.numpy()).statistic
    assert metrics.pearson(x * scale, y) == pytest.approx(wanted, abs=1e-12)


def test_perplexity_of_a_guess_among_all_words_is_their_number():
    assert metrics.perplexity(math.log(30_522)) == pytest.approx(30_522)


def test_perplexity_of_a_huge_loss_is_infinite():
    assert metrics.perplexity(1e9) == math.inf


def test_what_has_no_row_has_no_accuracy():
    assert math.isnan(metrics.accuracy(confusion_of([])))
    assert math.isnan(metrics.macro_f1([]))


def test_more_is_better_but_of_loss_and_perplexity():
    for name in ("accuracy", "f1", "pearson"):
        assert metrics.is_better(name, 0.6, 0.5)
        assert not metrics.is_better(name, 0.5, 0.6)
    for name in ("loss", "perplexity"):
        assert metrics.is_better(name, 0.5, 0.6)
        assert not metrics.is_better(name, 0.6, 0.5)


def test_the_same_is_not_better():
    assert not metrics.is_better("accuracy", 0.5, 0.5)
    assert not metrics.is_better("loss", 0.5, 0.5)


@pytest.mark.parametrize("name", ["accuracy", "loss"])
def test_nan_is_never_better_and_everything_is_better_than_nan(name):
    assert not metrics.is_better(name, math.nan, 0.5)
    assert not metrics.is_better(name, math.nan, math.nan)
    assert not metrics.is_better(name, math.nan, None)
    assert metrics.is_better(name, 0.5, math.nan)
    assert metrics.is_better(name, 0.5, None)


def test_an_unknown_metric_is_an_error_that_lists_those_there_are():
    with pytest.raises(ValueError, match=r"'f2', expected .*: accuracy, f1, loss"):
        metrics.check_metric("f2", ("accuracy", "f1", "loss"))


def test_the_first_metric_decides_by_default():
    assert metrics.check_metric(None, ("accuracy", "f1")) == "accuracy"
    assert metrics.check_metric("f1", ("accuracy", "f1")) == "f1"


def test_what_is_undefined_is_null_in_json():
    found = metrics.as_json({"a": 0.5, "b": math.nan, "c": math.inf})
    assert found == {"a": 0.5, "b": None, "c": None}
