"""A run with other settings is told in what it differs; nothing that is done goes."""

from __future__ import annotations

import pytest
from unfinished_runs import (
    FILE,
    PARTS,
    SETTINGS,
    changed,
    names,
    run,
    stopped,
)

from minidistil.tables.rows import TableError
from minidistil.tables.settings import differences

MODEL = SETTINGS["model"]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (changed(), []),
        (
            changed(task="fill-mask"),
            ["task was 'text-classification', and is 'fill-mask' now"],
        ),
        (
            changed(options={"top_k": 5, "threshold": 0.5}),
            [
                "options.top_k was 3, and is 5 now",
                "options.batch_size was 8, and is not given now",
                "options.threshold was not given, and is 0.5 now",
            ],
        ),
        (
            changed(options={}),
            [
                "options.top_k was 3, and is not given now",
                "options.batch_size was 8, and is not given now",
                "options was not given, and is {} now",
            ],
        ),
        (
            changed(input=[FILE | {"size": 11, "digest": "d"}]),
            ["the input reviews.csv was another: 10 bytes then, 11 now"],
        ),
        (
            changed(input=[FILE | {"digest": "d"}]),
            ["the input reviews.csv was another: as large, with other contents"],
        ),
        (
            changed(input=[{**FILE, "name": "other.csv"}]),
            ["the input other.csv was not there", "the input reviews.csv is missing"],
        ),
        (
            changed(input=[FILE, FILE]),
            ["the files of the input are in another order, or some came twice"],
        ),
        (changed(model={**MODEL, "answers": [0.105, -4.03]}), []),
        (
            changed(model={**MODEL, "answers": [0.12, -4.0]}),
            ["the model answers a sentence with other numbers"],
        ),
        (
            changed(model={**MODEL, "answers": [0.1]}),
            ["the model answers a sentence with other numbers"],
        ),
        (
            changed(model={"labels": ["a", "b"]}),
            ["the model answers a sentence with other numbers"],
        ),
        (changed(strict=False, on_error="null"), []),
    ],
)
def test_each_difference_is_told_in_a_line(now, expected):
    assert differences(SETTINGS, now) == expected


def test_the_files_of_the_input_have_an_order():
    other = {**FILE, "name": "other.csv"}
    then, now = changed(input=[FILE, other]), changed(input=[other, FILE])
    assert differences(then, now) == [
        "the files of the input are in another order, or some came twice"
    ]


def test_other_settings_are_one_error_that_lists_them_all(tmp_path):
    target = tmp_path / "out.csv"
    stopped(target, stop=4)
    before = names(tmp_path)
    now = changed(task="fill-mask", input=[])
    with pytest.raises(TableError, match=r"4 rows .*--restart\)") as error:
        run(target, settings=now)
    assert str(error.value).splitlines()[1:] == [
        "- the input reviews.csv is missing",
        "- task was 'text-classification', and is 'fill-mask' now",
    ]
    assert names(tmp_path) == before
    assert run(target) == [4]


def test_with_more_patience_a_run_goes_on_and_not_with_less(tmp_path):
    target = tmp_path / "out.csv"
    stopped(target, stop=2)
    stopped(target, stop=4, settings=changed(on_error="null", strict=False))
    with pytest.raises(TableError, match="on_error was 'null', and is 'stop' now"):
        run(target)


def test_a_new_beginning_is_one_with_all_parts(tmp_path):
    target = tmp_path / "out.csv"
    stopped(target, stop=4)
    assert run(target, settings=changed(task="other"), restart=True) == [0, 2, 4]
    assert names(tmp_path) == ["out.csv"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"input": 3}', b'{"input": [{}]}', b"\xff"]
)
def test_settings_that_cannot_be_read_are_an_error_and_parts_stay(tmp_path, content):
    target, beside = tmp_path / "out.csv", tmp_path / "out.csv.unfinished"
    stopped(target, stop=4)
    (beside / "run.json").write_bytes(content)
    with pytest.raises(TableError, match="--restart"):
        run(target)
    assert names(beside / "parts") == PARTS[:2]
    assert run(target, restart=True) == [0, 2, 4]


def test_parts_of_an_unknown_run_are_an_error_and_stay(tmp_path):
    target, beside = tmp_path / "out.csv", tmp_path / "out.csv.unfinished"
    stopped(target, stop=4)
    (beside / "run.json").unlink()
    with pytest.raises(TableError, match=r"does not say.*--restart"):
        run(target)
    assert names(beside / "parts") == PARTS[:2]
