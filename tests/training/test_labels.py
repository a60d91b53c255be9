"""Labels get their numbers in an order that the order of the rows does not decide."""

from __future__ import annotations

import itertools

import pytest
import torch

from minidistil.config import DistilBertConfig
from minidistil.training.labels import LabelColumn, Labels, SeveralLabels
from minidistil.training.rows import TrainingDataError

UNNAMED = Labels(("LABEL_0", "LABEL_1"))
NAMED = Labels(("NEGATIVE", "POSITIVE"))


def numbered(values, own=UNNAMED, fixed=None, declared=None):
    """The names, and for each value its number."""
    column = LabelColumn("label", own, fixed, declared)
    codes = [column.code(f"row {i}", value) for i, value in enumerate(values, 1)]
    labels, numbers = column.numbers(None)
    return labels.names, numbers[torch.tensor(codes)].tolist()


@pytest.mark.parametrize("values", itertools.permutations(["b", "a", "c"]))
def test_the_order_of_rows_does_not_matter(values):
    names, numbers = numbered(values)
    assert names == ("a", "b", "c")
    assert [names[number] for number in numbers] == [*values]


@pytest.mark.parametrize("values", [["10", "9", "-1"], [10, 9, -1]])
def test_numbers_are_in_the_order_of_numbers(values):
    assert numbered(values) == (("-1", "9", "10"), [2, 1, 0])


def test_the_models_own_names_are_kept_if_the_labels_are_among_them():
    # In the alphabet's order it would be the other way round.
    own = Labels(("POSITIVE", "NEGATIVE"))
    assert numbered(["NEGATIVE", "POSITIVE"], own) == (own.names, [1, 0])


@pytest.mark.parametrize("values", [[1, 0], ["1", "0"], [1.0, 0.0]])
def test_numbers_may_be_those_of_the_model(values):
    assert numbered(values, NAMED) == (NAMED.names, [1, 0])


def test_numbers_of_a_model_whose_labels_nobody_has_named():
    assert numbered([1, 0], UNNAMED) == (UNNAMED.names, [1, 0])
    ten = Labels(tuple(f"LABEL_{i}" for i in range(11)))
    assert numbered(["LABEL_10", "LABEL_9"], ten) == (ten.names, [10, 9])


def test_more_numbers_than_an_unnamed_model_has_make_labels_of_their_own():
    assert numbered([0, 2, 1], UNNAMED) == (("0", "1", "2"), [0, 2, 1])


@pytest.mark.parametrize("values", [[1, 2, 3, 4, 5], ["1", "2"], [-1, 1], [0, 4]])
def test_other_numbers_than_the_models_are_labels_of_their_own(values):
    names = tuple(map(str, values))
    assert numbered(values, NAMED) == (names, [*range(len(values))])


@pytest.mark.parametrize("values", [["NEGATIVE", "neutral"], ["NEGATIVE", "1"]])
def test_more_labels_than_the_model_name_the_row(values):
    with pytest.raises(TrainingDataError, match=r"row 2: .* NEGATIVE, POSITIVE of the"):
        numbered(values, NAMED)


def test_labels_none_of_which_the_model_has_are_new_ones():
    assert numbered(["sad", "glad"], NAMED) == (("glad", "sad"), [1, 0])


def test_a_data_set_may_declare_the_order():
    declared = ["World", "Sports", "Business"]
    assert numbered([2, 0], declared=declared) == (tuple(declared), [2, 0])


def test_declared_numbers_are_the_models_by_name():
    # The data set counts the other way round than the model.
    assert numbered([0, 1], NAMED, declared=["POSITIVE", "NEGATIVE"]) == (
        NAMED.names,
        [1, 0],
    )


def test_true_and_false_are_labels():
    assert numbered([True, False]) == (("false", "true"), [1, 0])
    assert numbered(["true", "false"], fixed=Labels(("false", "true")))[1] == [1, 0]


def test_a_label_that_only_the_evaluated_data_has_names_the_row():
    fixed = Labels(("a", "b"))
    assert numbered(["b"], fixed=fixed) == (fixed.names, [1])
    with pytest.raises(TrainingDataError, match=r"row 2: got the label 'c', .* a, b"):
        numbered(["a", "c"], fixed=fixed)


def test_a_single_label_cannot_be_learnt():
    with pytest.raises(TrainingDataError, match=r"row 1: .* as in all other rows"):
        numbered(["a", "a"])


def test_without_any_label_there_is_nothing_to_learn():
    with pytest.raises(TrainingDataError, match="got no label in any row"):
        numbered([])
    with pytest.raises(TrainingDataError, match="got no label in any row"):
        several([[], []])


@pytest.mark.parametrize("odd", [3, True, None, [1], {}, ""])
def test_a_label_of_another_type_names_the_row(odd):
    with pytest.raises(TrainingDataError, match="row 3: got"):
        numbered(["a", "b", odd])


def test_a_label_that_no_file_can_hold_names_the_row():
    with pytest.raises(TrainingDataError, match="row 2: the label has half of"):
        numbered(["a", "\ud800"])


@pytest.mark.parametrize("odd", ["a", False])
def test_a_label_that_is_no_number_among_numbers_names_the_row(odd):
    with pytest.raises(
        TrainingDataError, match=r"row 3: .* expected a number, as in row 1"
    ):
        numbered([0, 1, odd])


def test_labels_of_a_configuration():
    config = DistilBertConfig(id2label={0: "no", 1: "yes"})
    assert Labels.of(config) == Labels(("no", "yes"), None)
    assert Labels.of(config).are_named
    assert not Labels.of(DistilBertConfig()).are_named
    changes = Labels(("x", "y", "z"), "single_label_classification").changes()
    changed = config.replace(**changes)
    assert changed.label2id == {"x": 0, "y": 1, "z": 2}
    assert Labels.of(changed).problem_type == "single_label_classification"


# Several labels of one row


def several(rows, columns=("labels",), own=UNNAMED, declared=None):
    if len(columns) > 1:
        declared = [*columns]
    found = SeveralLabels(columns, LabelColumn("label", own, None, declared))
    for number, row in enumerate(rows, 1):
        found.add(f"row {number}", row)
    labels, targets = found.targets()
    return labels.names, targets.tolist()


def test_lists_of_names_are_flags():
    assert several([["b", "a"], [], ["c"]]) == (
        ("a", "b", "c"),
        [[1, 1, 0], [0, 0, 0], [0, 0, 1]],
    )


def test_a_column_for_each_label_keeps_their_order():
    rows = [[0, 1], ["1", "0"], [True, False]]
    expected = [[0, 1], [1, 0], [1, 0]]
    assert several(rows, ("toxic", "angry")) == (("toxic", "angry"), expected)


def test_a_column_for_each_label_has_the_models_order_where_they_are_its_own():
    own = Labels(("angry", "toxic"))
    assert several([[0, 1]], ("toxic", "angry"), own) == (own.names, [[1, 0]])


def test_lists_of_floats_are_flags_as_transformers_wants_them():
    assert several([[0.0, 1.0], [1.0, 1.0]], own=NAMED) == (
        NAMED.names,
        [[0, 1], [1, 1]],
    )


@pytest.mark.parametrize("rows", [[[0.0, 1.0], [1.0]], [[0.0, 0.5]]])
def test_odd_flags_name_the_row(rows):
    with pytest.raises(TrainingDataError, match=f"row {len(rows)}: got"):
        several(rows)
