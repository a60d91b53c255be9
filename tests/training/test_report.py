"""The data of a report: what is kept of a long run, and how it is written."""

from __future__ import annotations

import json
import math
import os
import random
import time
from typing import Any

import pytest
from pages import HOSTILE, data_of
from reports import RUNS, SEED, Report, Reports, distilled

from minidistil.training.report import PARTS, write_report


def written(tmp_path, run: dict[str, Any]) -> Any:
    path = tmp_path / "report.html"
    write_report(path, run)
    return data_of(Report(path, run))


def test_a_short_log_is_there_to_the_last_digit(tmp_path):
    run = distilled(2 * PARTS)
    columns = written(tmp_path, run)["log"]["columns"]
    assert columns == {
        name: [line[name] for line in run["log"]] for name in run["log"][0]
    }


def test_of_a_long_log_the_extremes_of_every_part_are_kept(reports: Reports):
    report = reports["long"]
    log, columns = report.run["log"], data_of(report)["log"]["columns"]
    assert len(columns["step"]) < 15 * PARTS
    lines = {line["step"]: line for line in log}
    kept = [lines[step] for step in columns["step"]]
    assert kept[0] == log[0]
    assert kept[-1] == log[-1]
    for name in log[0]:
        assert [line[name] for line in kept] == columns[name]
        if name in ("step", "epoch", "tokens"):
            continue
        for number in range(PARTS):
            part = log[number * len(log) // PARTS : (number + 1) * len(log) // PARTS]
            steps = {line["step"] for line in part}
            values = [line[name] for line in kept if line["step"] in steps]
            assert min(values) == min(line[name] for line in part)
            assert max(values) == max(line[name] for line in part)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_value_of_many_that_is_not_finite_is_kept(tmp_path, value):
    run = distilled(5000)
    run["log"][3350]["loss"] = value
    run["log"][3351]["loss"] = 1e6
    run["log"][3352]["loss"] = -1e6
    column = written(tmp_path, run)["log"]["columns"]["loss"]
    assert {1e6, -1e6} < {*column}, "and hides no other"
    (found,) = {x for x in column if type(x) is str}
    assert repr(float(found)) == repr(value)


def test_a_column_with_few_values_keeps_its_extremes(tmp_path):
    """Where nothing was measured there is nothing, neither 0 nor what was before."""
    run = distilled(5000)
    numbers = random.Random(0)
    values = {i: numbers.random() + 1 for i in numbers.sample(range(5000), 900)}
    for i, value in values.items():
        run["log"][i]["rare"] = value
    run["log"][-1]["rare"] = None
    column = written(tmp_path, run)["log"]["columns"]["rare"]
    found = [x for x in column if x is not None]
    assert {*found} <= {*values.values()}
    own = [values[i] for i in sorted(values)]
    for number in range(PARTS):
        part = own[number * len(own) // PARTS : (number + 1) * len(own) // PARTS]
        assert {min(part), max(part)} <= {*found}


def test_the_first_and_the_last_line_are_kept(tmp_path):
    log = [{"step": i, "loss": (0.5, 0.0, 1.0)[i % 3]} for i in range(5000)]
    run = {"title": "", "state": "", "log": log}
    steps = written(tmp_path, run)["log"]["columns"]["step"]
    assert (steps[0], steps[-1]) == (0, 4999)


def test_the_best_of_many_evaluations_is_kept(tmp_path):
    run = distilled(3)
    run["evaluations"] = [{"step": k, "results": {"accuracy": k}} for k in range(5000)]
    for step in (0, 16, 2517, 4999):
        run["best"]["step"] = step
        assert step in written(tmp_path, run)["evaluations"]["columns"]["step"]


def test_lines_of_evaluations_are_no_lines_of_the_log(tmp_path):
    run = distilled(5)
    run["log"].insert(2, {"step": 1, "evaluation": {"accuracy": 1.0}})
    found = written(tmp_path, run)["log"]
    assert found["count"] == 5
    assert "evaluation" not in found["columns"]


def fastest(work: Any, times: int = 15) -> float:
    def once() -> float:
        start = time.thread_time()
        work()
        return time.thread_time() - start

    return min(once() for _ in range(times))


def test_ten_thousand_lines_take_less_than_fifty_milliseconds(tmp_path):
    """Of this thread's time: on a busy machine the clock would measure others."""
    run = RUNS["long"]()
    assert len(run["log"]) == 10_000
    assert fastest(lambda: write_report(tmp_path / "report.html", run)) < 0.05


@pytest.mark.parametrize("name", RUNS)
def test_a_page_stays_below_a_megabyte(reports: Reports, name):
    assert reports[name].path.stat().st_size < 1_000_000


def test_the_worst_of_everything_stays_below_a_megabyte(tmp_path):
    run = distilled(100_000, 10**6)
    widest = "\N{GRINNING FACE}" * 100_000
    run["mistakes"] = [{"text": widest, "true": widest, "predicted": widest}] * 1000
    run |= {"command": widest, "note": widest, "title": widest}
    run["data"]["train"]["files"] = [widest] * 1000
    path = tmp_path / "report.html"
    write_report(path, run)
    assert path.stat().st_size < 1_000_000


def test_of_many_labels_the_most_frequent_mistakes_are_kept(tmp_path):
    run = RUNS["many labels"]()
    confused = written(tmp_path, run)["confused"]
    counts = run["details"]["confusion"]["counts"]
    wrong = sorted(
        (n for i, row in enumerate(counts) for j, n in enumerate(row) if i != j),
        reverse=True,
    )
    assert [n for *_, n in confused["pairs"]] == wrong[: len(confused["pairs"])]
    for true, predicted, n in confused["pairs"]:
        assert counts[int(true.split()[1])][int(predicted.split()[1])] == n
    assert confused["count"] == sum(n > 0 for n in wrong)


def test_a_cut_text_says_how_long_it_was(tmp_path):
    run = distilled(3)
    run["mistakes"][0]["text"] = "ab" * 50_000
    (text, *_) = (each["text"] for each in written(tmp_path, run)["mistakes"])
    assert text.startswith("abab")
    assert text.endswith(" … (100,000 characters in all)")


def test_recipes_are_written_as_their_users_write_them(tmp_path):
    recipe = {"a": 5e-5, "b": 1e-12, "c": SEED, "d": (0.9, 0.999), "e": True, "f": None}
    found = written(tmp_path, {"title": "", "state": "", "recipe": recipe})["recipe"]
    assert [said for _, said, *_ in found] == [
        *("5e-5", "1e-12", str(SEED), "0.9, 0.999", "yes", None)
    ]


def test_what_differs_from_the_default_is_marked(tmp_path):
    run = distilled(3)
    found = written(tmp_path, run)["recipe"]
    assert {name for name, _, other, _ in found if other} == {
        *("learning_rate", "seed", "layers")
    }
    assert [x[3] for x in found if x[2]] == ["5e-5", "0", None]


def test_hostile_texts_stay_in_their_place_in_the_file(reports: Reports):
    html = reports["hostile"].path.read_text("utf-8")
    assert html.count("</script>") == html.count("<script") == 2
    assert data_of(reports["hostile"])["note"].startswith(HOSTILE[:500])


def test_a_run_is_not_changed(tmp_path):
    run = distilled(500)
    before = json.dumps(run)
    write_report(tmp_path / "report.html", run)
    assert json.dumps(run) == before


def test_a_page_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    write_report(path, distilled(3))
    before = path.read_bytes()

    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="make room"):
        write_report(path, distilled(4))
    assert path.read_bytes() == before
    assert [*tmp_path.iterdir()] == [path]
