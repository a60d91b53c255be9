"""What a screen reader is told: the accessibility tree, as Chromium computes it."""

from __future__ import annotations

import pytest
from page_checks import check_all_are_named, check_headings, check_landmarks, tree
from pages import Pages, choose, drawn, texts
from playwright.sync_api import Browser, Page

KINDS = ["tiny", "padded", "two masks", "question", "long"]


def check_names(page: Page) -> None:
    check_all_are_named(page)
    assert {"button", "link", "radio", "DisclosureTriangle"} <= {
        node["role"] for node in tree(page)
    }


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", KINDS)
def test_every_control_and_picture_has_a_name(
    chromium: Browser, pages: Pages, name: str
) -> None:
    with drawn(chromium, pages[name].path) as page:
        check_names(page)


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", KINDS)
def test_headings_leave_no_level_out(
    chromium: Browser, pages: Pages, name: str
) -> None:
    with drawn(chromium, pages[name].path) as page:
        check_headings(page)


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", KINDS)
def test_the_parts_are_landmarks(chromium: Browser, pages: Pages, name: str) -> None:
    with drawn(chromium, pages[name].path) as page:
        check_landmarks(page, ("Text", "Model", "Head", "Glossary"))


def check_said(page: Page) -> None:
    """After a choice the chosen look is said, and before it nothing."""
    live = page.locator("[aria-live=polite]")
    assert live.text_content() == ""
    page.locator('#tokens [data-query="3"]').click()
    assert live.text_content() == texts(page, "#summary")[0]
    choose(page, head=4)
    assert live.text_content() == texts(page, "#summary")[0]
    assert (live.text_content() or "").startswith("Layer 0, head 4: “this” attends")


def test_the_chosen_look_is_said(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["tiny"].path) as page:
        check_said(page)


def test_radio_groups_say_what_is_chosen(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["padded"].path) as page:
        for name in ("Layer", "Head", "Query token", "Text"):
            group = page.get_by_role("radiogroup", name=name, exact=True)
            assert group.get_by_role("radio", checked=True).count() == 1


def test_tables_have_headers_and_captions(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["tiny"].path) as page:
        for table in page.locator("table:visible").all():
            assert table.locator("tbody th[scope=row]").count(), table
        nodes = tree(page)
        roles = [node["role"] for node in nodes]
        assert roles.count("columnheader") > 30
        assert roles.count("rowheader") > 30


def test_the_language_is_said(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["tiny"].path) as page:
        assert page.get_attribute("html", "lang") == "en"


def test_padding_is_said_not_only_shown(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["padded"].path) as page:
        last = page.locator("#tokens [role=radio]").last
        assert "padding" in (last.get_attribute("aria-label") or "")
