"""The page of a report: keyboard, screen readers, widths, themes, paper."""

from __future__ import annotations

import re

import pytest
from page_checks import (
    PHONE,
    check_all_are_named,
    check_dark,
    check_focus_is_seen,
    check_headings,
    check_landmarks,
    check_overlaps,
    check_targets,
    check_text_stands_out,
    check_walk,
    check_width,
)
from pages import drawn
from playwright.sync_api import Browser, Page, expect
from reports import Reports
from test_report_page import KINDS, open_all

# Keys, thumbs, and who does not see


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", KINDS)
def test_tab_reaches_everything_and_is_seen(
    chromium: Browser, reports: Reports, name: str
) -> None:
    with drawn(chromium, reports[name].path) as page:
        check_walk(page)
        check_focus_is_seen(page)


def check_cursor(page: Page) -> None:
    """A curve under the pointer shows the step there, and so do those beside it."""
    cursor = page.locator("#curve-hard .cursor")
    expect(cursor).to_be_hidden()
    plot = page.locator("#curve-loss [role=slider]")
    box = plot.bounding_box()
    assert box
    plot.hover(position={"x": box["width"] / 2, "y": 20})
    expect(cursor).to_be_visible(timeout=1000)
    step = int(re.findall(r"step (\d+)", page.inner_text("#curve-hard [data-at]"))[0])
    assert abs(step - 605) <= 10


def test_the_pointer_chooses_a_step_on_all_curves(
    chromium: Browser, reports: Reports
) -> None:
    with drawn(chromium, reports["distilled"].path) as page:
        check_cursor(page)


def test_links_lead_to_the_parts(chromium: Browser, reports: Reports) -> None:
    with drawn(chromium, reports["distilled"].path, reduced_motion="reduce") as page:
        for link in page.locator("#path a").all():
            link.focus()
            page.keyboard.press("Enter")
            target = page.evaluate(
                "document.activeElement.querySelector('h2').textContent"
            )
            assert target == link.inner_text()


def check_curves_are_reached(page: Page) -> None:
    assert (
        page.locator("[role=slider]").count()
        == page.locator("[role=slider][tabindex='0']").count()
    )


def test_every_curve_is_a_stop(chromium: Browser, reports: Reports) -> None:
    with drawn(chromium, reports["distilled"].path) as page:
        check_curves_are_reached(page)


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", KINDS)
def test_a_screen_reader_meets_names_and_headings(
    chromium: Browser, reports: Reports, name: str
) -> None:
    with drawn(chromium, reports[name].path) as page:
        check_all_are_named(page)
        check_headings(page)
        check_landmarks(page, ["Learning"])


def test_a_thumb_can_hit_every_control(chromium: Browser, reports: Reports) -> None:
    with drawn(chromium, reports["distilled"].path, **PHONE, has_touch=True) as page:
        check_targets(page)


def test_following_is_kept_when_the_page_is_read_again(
    chromium: Browser, reports: Reports
) -> None:
    with drawn(chromium, reports["distilled"].path) as page:
        page.locator("#follow").click()
        page.locator("#theme").click()
        page.reload()
        page.wait_for_selector("html[data-ready]", state="attached")
        assert page.get_attribute("#follow", "aria-pressed") == "true"
        assert page.get_attribute("html", "data-theme") == "dark"
        page.locator("#follow").click()
        assert page.get_attribute("#follow", "aria-pressed") == "false"
    with drawn(chromium, reports["diverged"].path) as page:
        expect(page.locator("#follow")).to_be_hidden()


# Widths and themes


@pytest.mark.sample(3)
@pytest.mark.parametrize("width", [320, 375, 640, 768, 1057, 1280, 1600])
@pytest.mark.parametrize("name", KINDS)
def test_the_page_fits_every_width(
    chromium: Browser, reports: Reports, name: str, width: int
) -> None:
    look = {"viewport": {"width": width, "height": 900}}
    with drawn(chromium, reports[name].path, **look) as page:
        for _ in range(2):
            check_width(page)
            check_overlaps(page)
            open_all(page)


@pytest.mark.sample(1)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", KINDS)
def test_text_stands_out(
    chromium: Browser, reports: Reports, name: str, theme: str
) -> None:
    with drawn(chromium, reports[name].path, color_scheme=theme) as page:
        open_all(page)
        check_text_stands_out(page, least=10 if name == "empty" else 100)
        if theme == "dark":
            check_dark(page)


def test_on_paper_the_numbers_are_there(chromium: Browser, reports: Reports) -> None:
    with drawn(chromium, reports["distilled"].path, color_scheme="dark") as page:
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        assert page.locator("#log-table tbody tr").count() > 50
        check_text_stands_out(page, least=100)
