"""The page of a report, as a browser shows it: its numbers and its texts."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
from page_checks import check_nothing_ran, seen
from pages import HOSTILE, MARKUP, MINUS, assert_reads, drawn, rows, texts
from playwright.sync_api import Browser, Page, expect
from reports import MATRIX, SEED, Report, Reports

from minidistil.training.report import write_report

KINDS = ["distilled", "empty", "one point", "diverged", "many labels", "hostile"]


def figure(text: str) -> float:
    """The number that a text of the page stands for."""
    if text == "not a number":
        return math.nan
    plain = text.replace(MINUS, "-").replace(",", "").replace("∞", "inf")
    return float(plain.removesuffix(" %").removesuffix(" MB"))


def assert_figure(text: str, value: float) -> None:
    """It is written as exactly as figures are: four decimals, or four digits."""
    if not math.isfinite(value) or value == 0:
        assert repr(figure(text)) == repr(float(value))
    elif 0.001 <= abs(value) < 9.999:
        assert_reads(text, value)
    else:
        assert figure(text) == pytest.approx(value, rel=1e-3, abs=0)


def open_all(page: Page) -> None:
    page.evaluate(
        "() => { for (const each of document.querySelectorAll('details')) "
        "each.open = true }"
    )
    expect(page.locator(".numbers[open]:not(:has(table))")).to_have_count(0)


def read_out(page: Page, curve: str) -> str:
    return page.locator(f"#curve-{curve} [data-value]").inner_text()


# Numbers


def check_facts(page: Page, report: Report) -> None:
    last, best = report.run["log"][-1], report.run["best"]
    assert_figure(page.inner_text("#fact-best"), best["value"])
    assert_figure(page.inner_text("#fact-loss"), last["loss"])
    assert figure(page.inner_text("#fact-tokens")) == last["tokens"]
    assert_figure(page.inner_text("#fact-speed"), last["tokens_per_second"])
    assert "step 1,000 of 1,200" in page.inner_text("#state")
    assert "37 minutes" in page.inner_text("#state")


def check_curves(page: Page, report: Report) -> None:
    """Each key goes to a line of the log, and its numbers are read out."""
    log = report.run["log"]
    names = [name for name in log[0] if name not in ("step", "epoch", "tokens")]
    assert len(names) == page.locator("#learning [role=slider]").count() == 7
    for name in names:
        plot = page.locator(f"#curve-{name} [role=slider]")
        plot.focus()
        place = 0
        for key, to in (("Home", 0), ("ArrowRight", 1), ("PageUp", 13), ("End", -1)):
            page.keyboard.press(key)
            place = to if to >= 0 else len(log) - 1
            line = log[place]
            assert_figure(read_out(page, name), line[name])
            where = f"step {line['step']:,}, epoch {line['epoch']:.2f}"
            assert page.inner_text(f"#curve-{name} [data-at]") == where
            said = plot.get_attribute("aria-valuetext")
            assert said == f"{where}: {read_out(page, name)}"
            assert plot.get_attribute("aria-valuenow") == str(place)


# Of a line that is drawn: its points, whose y goes down.
POINTS = """curve => document.querySelector(`#${curve} path`).getAttribute("d")
  .match(/[ML][^ML]+/g).map(x => x.slice(1).split(" ").map(Number))"""


def check_lines(page: Page, report: Report) -> None:
    """Points stand where their steps and their values are, on one linear scale."""
    log = report.run["log"]
    steps = [line["step"] for line in log]
    for name in ("loss", "soft", "learning_rate", "tokens_per_second"):
        points = page.evaluate(POINTS, f"curve-{name}")
        values = [line[name] for line in log]
        low, high = values.index(min(values)), values.index(max(values))
        assert len(points) == len(log)
        rise = (points[high][1] - points[low][1]) / (values[high] - values[low])
        assert -1000 <= rise * (values[high] - values[low]) < -300
        for (x, y), step, value in zip(points, steps, values, strict=True):
            share = (step - steps[0]) / (steps[-1] - steps[0])
            assert x == pytest.approx(1000 * share, abs=0.2)
            wanted = points[low][1] + rise * (value - values[low])
            assert y == pytest.approx(wanted, abs=0.3)


def check_evaluations(page: Page, report: Report) -> None:
    best = report.run["best"]
    names, *_ = rows(page, "#evaluation-table thead tr")
    assert names == ["step", "accuracy", "loss"], "what decides is first"
    lines = rows(page, "#evaluation-table tbody tr")
    for line, each in zip(lines, report.run["evaluations"], strict=True):
        step, *figures = line
        is_best = each["step"] == best["step"]
        assert step == f"{each['step']:,}" + (" best" if is_best else "")
        for name, text in zip(names[1:], figures, strict=True):
            assert_figure(text, each["results"][name])
    assert page.locator("#evaluation-table .winner").count() == 1
    assert page.inner_text("#best-step") == f"{best['step']:,}"
    assert_figure(page.inner_text("#best-value"), best["value"])


def check_answers(page: Page, report: Report) -> None:
    assert rows(page, "#matrix tbody tr") == [
        [name, *map(str, counts)]
        for name, counts in zip(("NEGATIVE", "POSITIVE"), MATRIX, strict=True)
    ]
    shades = page.locator("#matrix td").evaluate_all(
        "all => all.map(x => Number(x.style.getPropertyValue('--w')))"
    )
    assert shades == [round(n / sum(row), 3) for row in MATRIX for n in row]
    for line, each in zip(
        rows(page, "#label-table tbody tr"),
        report.run["details"]["per_label"],
        strict=True,
    ):
        assert line[0] == each["label"]
        assert_reads(line[1], each["precision"])
        assert_reads(line[2], each["f1"])
        assert line[3] == str(each["support"])


def check_mistakes(page: Page, report: Report) -> None:
    first, second = page.locator(".mistakes > li").all()
    each = report.run["mistakes"][0]
    assert first.locator(".data").inner_text() == each["text"]
    said = first.locator("dd").all_inner_texts()
    assert said[:2] == [each["true"], each["predicted"]]
    assert_reads(said[2], each["score"])
    assert_reads(said[3], each["loss"])
    assert said[4] == each["row"]
    second.locator("summary").click()
    whole = second.locator("details p")
    expect(whole).to_contain_text("… (1,000 characters in all)")
    assert second.locator("dd").all_inner_texts() == ["1.5000", "2", "0.2500"]


def check_sides(page: Page, report: Report) -> None:
    teacher, student = report.run["teacher"], report.run["student"]
    best = report.run["evaluations"][3]["results"]
    lines = {name: cells for name, *cells in rows(page, "#side-table tbody tr")}
    for name, value in teacher["results"].items():
        assert_figure(lines[name][0], value)
        assert_figure(lines[name][1], best[name])
        assert figure(lines[name][2]) == pytest.approx(
            100 * best[name] / value, abs=0.051
        )
    assert lines["parameters"] == ["22,713,216", "17,383,296", "76.5 %"]
    assert texts(page, "#sides .pairs dd") == [teacher["name"], student["name"]]


def check_data(page: Page, report: Report) -> None:
    assert rows(page, "#data-labels tbody tr") == [
        ["NEGATIVE", "250", "25.1 %", "428", "49.1 %"],
        ["POSITIVE", "747", "74.9 %", "444", "50.9 %"],
    ]
    facts = texts(page, '[data-role="train"] div')
    assert facts == [
        "rows1,000",
        "left out: empty text3",
        "longer than the model reads12 (1.2 %)",
    ]
    assert texts(page, ".files li") == ["sst2/train.tsv", "sst2/dev.tsv"]


def check_recipe(page: Page, report: Report) -> None:
    lines = dict(
        zip(texts(page, "#recipe-list dt"), texts(page, "#recipe-list dd"), strict=True)
    )
    assert len(lines) == len(report.run["recipe"])
    assert lines["learning rate"] == "0.0001 default: 5e-5"
    assert lines["seed"] == f"{SEED} default: 0"
    assert lines["layers"] == "0, 2, 4 default: not set"
    assert lines["patience"] == "not set"
    assert lines["epochs"] == "3"
    marked = page.locator("#recipe-list .other dt").all_inner_texts()
    assert marked == ["learning rate", "seed", "layers"]
    assert page.inner_text("#command") == report.run["command"]
    assert texts(page, "#environment dd") == ["2.13.0", "cpu", str(SEED)]


NUMBERS = [
    check_facts,
    check_curves,
    check_lines,
    check_evaluations,
    check_answers,
    check_mistakes,
    check_sides,
    check_data,
    check_recipe,
]


def test_every_number_is_that_of_the_run(chromium: Browser, reports: Reports) -> None:
    report = reports["distilled"]
    with drawn(chromium, report.path) as page:
        for check in NUMBERS:
            check(page, report)


def test_the_numbers_of_a_log_are_a_table_too(
    chromium: Browser, reports: Reports
) -> None:
    report = reports["long"]
    lines = {f"{line['step']:,}": line for line in report.run["log"]}
    with drawn(chromium, report.path) as page:
        open_all(page)
        (head,) = rows(page, "#log-table thead tr")
        assert "tokens a second" in head
        found = rows(page, "#log-table tbody tr")
        assert 50 < len(found) < 70
        assert "of 10,000 lines" in page.inner_text("#learning summary")
        names = [name for name in report.run["log"][0] if name != "step"]
        for step, *figures in found:
            for name, text in zip(names, figures, strict=True):
                assert_figure(text, lines[step][name])


def check_odd(page: Page, report: Report) -> None:
    """What is not finite is marked, breaks the line, and is read out as it is."""
    assert page.locator("#curve-loss .odd").count() > 5
    assert page.locator("#curve-soft .odd").count() > 5
    assert page.locator("#curve-hard .odd").count() == 0
    assert len(page.evaluate(POINTS, "curve-loss")) == 70
    assert len(page.evaluate(POINTS, "curve-soft")) == 69
    assert [read_out(page, x) for x in ("loss", "soft", "gradient")] == [
        *("not a number", f"{MINUS}∞", "∞")
    ]
    page.locator("#curve-soft [role=slider]").focus()
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    assert read_out(page, "soft") == "–", "this line has none"
    assert_figure(read_out(page, "loss"), report.run["log"][3]["loss"])
    assert rows(page, "#evaluation-table tbody tr")[-1][-1] == "not a number"
    assert "step 700" in page.inner_text(".notice")


def test_what_is_no_number_is_seen(chromium: Browser, reports: Reports) -> None:
    with drawn(chromium, reports["diverged"].path) as page:
        check_odd(page, reports["diverged"])


def test_one_point_is_a_dot(chromium: Browser, reports: Reports) -> None:
    with drawn(chromium, reports["one point"].path) as page:
        assert page.locator("#curve-loss .dot").count() == 1
        assert rows(page, "#matrix tbody tr") == [["ONLY", "5"]]
        assert texts(page, "#evaluation-table tbody th") == ["100 best"]
        assert "1.0000" in page.inner_text("#evaluation-table")


def test_a_run_that_has_just_begun_says_so(chromium: Browser, reports: Reports) -> None:
    with drawn(chromium, reports["empty"].path) as page:
        said = page.inner_text("main").split("\n")
        assert said == ["Learning", "", "No step has been logged yet."]
        assert page.inner_text("#state").strip() == "▶ running · step 0 of 100"
        assert texts(page, "#path .name") == ["Learning"]


def test_of_many_labels_all_have_a_row(chromium: Browser, reports: Reports) -> None:
    with drawn(chromium, reports["many labels"].path) as page:
        assert len(rows(page, "#label-table tbody tr")) == 200
        assert len(rows(page, "#data-labels tbody tr")) == 200
        assert rows(page, "#confused tbody tr")[0][2] == "149"
        assert rows(page, "#group-table tbody tr") == [["impossible", "7", "0.5000"]]
        assert "and 980 more files" in page.inner_text("#roles")
        open_all(page)
        steps = texts(page, "#evaluation-table tbody th")
        assert "777" in steps
        assert page.locator("#evaluated-0 .best").count() == 1


def test_a_spike_does_not_hide_the_rest(chromium: Browser, reports: Reports) -> None:
    """One high gradient in a hundred: its scale is logarithmic, and says so."""
    report = reports["distilled"]
    run = deepcopy(report.run)
    run["log"][50]["gradient"] = 900.0
    path = report.path.with_name("spike.html")
    write_report(path, run)
    with drawn(chromium, path) as page:
        assert "logarithmic" in page.inner_text("#curve-gradient h3")
        assert "logarithmic" not in page.inner_text("#curve-learning_rate h3")
        heights = [y for _, y in page.evaluate(POINTS, "curve-gradient")]
        values = [line["gradient"] for line in run["log"]]
        rises = {
            round((y - heights[0]) / math.log(value / values[0]), 1)
            for y, value in zip(heights, values, strict=True)
            if abs(math.log(value / values[0])) > 0.3
        }
        assert max(rises) - min(rises) < 3
        assert max(rises) < -100


# Texts


def check_texts(page: Page) -> None:
    assert (page.text_content("#state .state") or "").startswith(seen(HOSTILE[:200]))
    labels = [text.split(" … (")[0] for text in texts(page, "#matrix tbody th")]
    assert labels == [seen(text)[:200] for text in (HOSTILE, *MARKUP)]
    (first, *others) = page.locator(".mistakes > li").all()
    assert seen(HOSTILE[:500]) in (first.locator("p").text_content() or "")
    for text, each in zip(MARKUP, others, strict=False):
        assert each.locator(".data").text_content() == text
        assert each.locator("dd").all_text_contents() == [text, text]
    assert page.text_content("#command") == seen(HOSTILE)


def test_hostile_texts_stay_texts(chromium: Browser, reports: Reports) -> None:
    with drawn(chromium, reports["hostile"].path) as page:
        open_all(page)
        check_texts(page)
        check_nothing_ran(page)
