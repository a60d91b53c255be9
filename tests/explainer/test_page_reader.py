"""What a screen reader is told: the accessibility tree, as Chromium computes it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from pages import Pages, choose, drawn, texts
from playwright.sync_api import Browser, Page

KINDS = ["tiny", "padded", "two masks", "question", "long"]
CONTROLS = {"button", "link", "radio", "DisclosureTriangle", "textbox", "checkbox"}
PICTURES = {"image", "img", "graphics-document", "Canvas", "SvgRoot"}

Node = dict[str, Any]


def tree(page: Page) -> list[Node]:
    """The nodes that a screen reader meets, in order."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    return [
        {
            "role": node["role"]["value"],
            "name": node.get("name", {}).get("value", ""),
            **{x["name"]: x["value"].get("value") for x in node.get("properties", [])},
        }
        for node in nodes
        if not node["ignored"]
    ]


def check_names(page: Page) -> None:
    """Every control and every picture says what it is."""
    nodes = tree(page)
    for node in nodes:
        if node["role"] in CONTROLS | PICTURES | {"radiogroup", "region", "dialog"}:
            assert node["name"].strip(), node
        if node.get("focusable") and node["role"] != "RootWebArea":
            assert node["name"].strip() or node["role"] == "main", node
    assert {"button", "link", "radio", "DisclosureTriangle"} <= {
        node["role"] for node in nodes
    }


def check_headings(page: Page) -> None:
    """One heading of level 1, and no level is left out on the way down."""
    levels = [node["level"] for node in tree(page) if node["role"] == "heading"]
    assert levels.count(1) == 1
    assert levels[0] == 1
    for before, after in itertools.pairwise(levels):
        assert after <= before + 1, levels


def check_landmarks(page: Page) -> None:
    """The parts of the page, each once, and those of one kind told apart."""
    nodes = tree(page)
    for role in ("banner", "main", "navigation", "contentinfo"):
        assert sum(node["role"] == role for node in nodes) == 1, role
    names = [node["name"] for node in nodes if node["role"] == "region"]
    assert len({*names}) == len(names), names
    for step in ("Text", "Model", "Head", "Glossary"):
        assert any(step in name for name in names), names


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
        check_landmarks(page)


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
