"""What an error message shows of a value that may be anything."""

from __future__ import annotations

import pytest

from minidistil.messages import quote, shorten


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
