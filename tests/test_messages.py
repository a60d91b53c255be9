"""What an error message shows of a value that may be anything."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from minidistil.messages import (
    check_flag,
    check_integer,
    is_number,
    quote,
    shorten,
    with_library,
)


@pytest.mark.parametrize("value", ["name", 3, None, ["a", 1], {"a": [1]}, "\ud800"])
def test_a_short_value_is_quoted_as_python_writes_it(value):
    assert quote(value) == repr(value)


def test_of_a_long_text_the_beginning_and_the_end_are_shown():
    shown = quote("begin" + "x" * 10**6 + "end")
    assert shown.startswith("'begin")
    assert shown.endswith("end'")
    assert len(shown) <= 120


def test_brackets_without_end_are_not_followed():
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    assert len(quote(value)) < 100


def test_what_another_library_says_is_shortened_and_can_be_printed():
    said = shorten("\ud800" + "x" * 1000)
    assert said.startswith("\\ud800x")
    assert len(said.encode()) < 400


@pytest.mark.parametrize(
    "value", [3, np.int64(3), np.uint8(3), np.array(3), torch.tensor(3)], ids=repr
)
def test_an_integer_of_any_library_becomes_pythons(value):
    found = check_integer("top_k", value, minimum=3)
    assert (type(found), found) == (int, 3)


@pytest.mark.parametrize(
    "value",
    [
        *(3.0, "3", None, True, 2, np.float64(3), np.bool_(True), np.array([3])),
        *(torch.tensor(True), torch.tensor([3]), torch.tensor(3.0), Decimal(3)),
    ],
    ids=repr,
)
def test_what_is_no_integer_or_too_small_is_refused(value):
    with pytest.raises(
        ValueError, match=r"top_k is .*, expected an integer of at least"
    ):
        check_integer("top_k", value, minimum=3)


@pytest.mark.parametrize("value", [True, np.bool_(True), torch.tensor(True)], ids=repr)
def test_a_flag_of_any_library_becomes_pythons(value):
    assert check_flag("normalize", value) is True


@pytest.mark.parametrize(
    "value", [1, "yes", None, np.int64(1), np.array([True]), torch.tensor(1)], ids=repr
)
def test_what_is_no_flag_is_refused(value):
    with pytest.raises(ValueError, match=r"normalize is .*, expected True or False"):
        check_flag("normalize", value)


def test_numbers_of_numpy_are_numbers_and_its_booleans_are_not():
    for value in (1, 0.5, np.float32(0.5), np.int8(1), Fraction(1, 2)):
        assert is_number(value)
    for value in (True, np.bool_(True), "1", None, 1j):
        assert not is_number(value)


def test_a_class_is_named_with_its_library():
    assert with_library(torch.nn.Linear(1, 1)) == "a Linear of torch"
    assert with_library(np.int64(1)) == "an int64 of numpy"
    assert [with_library(each) for each in ("a", 1)] == ["a str", "an int"]
