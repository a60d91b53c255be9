"""The page without a mouse: all of it can be reached, seen to be reached, and used."""

from __future__ import annotations

import pytest
from page_checks import check_focus_is_seen, check_walk, walk
from pages import Pages, drawn, texts
from playwright.sync_api import Browser, Page, expect


def check_arrows(page: Page, group: str, keys: dict[str, int]) -> None:
    """In a group of radio buttons each key goes to a number and chooses it."""
    page.locator(f"#{group} [tabindex='0']").focus()
    for key, number in keys.items():
        page.keyboard.press(key)
        chosen = page.locator(f"#{group} [role=radio]").nth(number)
        expect(chosen).to_be_focused()
        expect(chosen).to_have_attribute("aria-checked", "true")
        expect(page.locator(f"#{group} [aria-checked=true]")).to_have_count(1)
        expect(page.locator(f"#{group} [tabindex='0']")).to_have_count(1)


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", ["tiny", "padded", "two masks"])
def test_tab_reaches_everything_in_order(
    chromium: Browser, pages: Pages, name: str
) -> None:
    with drawn(chromium, pages[name].path) as page:
        check_walk(page)


@pytest.mark.sample(1)
@pytest.mark.parametrize("width", [360, 1440])
def test_what_has_the_focus_can_be_seen(
    chromium: Browser, pages: Pages, width: int
) -> None:
    look = {"viewport": {"width": width, "height": 740}}
    with drawn(chromium, pages["tiny"].path, **look) as page:
        check_focus_is_seen(page)


def test_arrows_move_in_the_layers(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["tiny"].path) as page:
        keys = {"ArrowRight": 1, "ArrowDown": 2, "ArrowLeft": 1, "End": 5, "Home": 0}
        check_arrows(page, "layers", keys)
        assert texts(page, "#summary")[0].startswith("Layer 0, head 0")


def test_arrows_move_in_the_tokens(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["tiny"].path) as page:
        check_arrows(page, "tokens", {"ArrowRight": 2, "End": 7, "ArrowLeft": 6})
        assert "!" in texts(page, "#summary")[0]


def test_arrows_move_in_the_heads(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["tiny"].path) as page:
        check_arrows(page, "heads", {"ArrowRight": 1, "End": 7, "ArrowLeft": 6})
        assert "head 6" in texts(page, "#summary")[0]


def test_arrows_move_between_texts_and_between_masks(
    chromium: Browser, pages: Pages
) -> None:
    for name, group in (("side by side", "compare"), ("two masks", "masks")):
        with drawn(chromium, pages[name].path) as page:
            keys = {"ArrowRight": 1, "ArrowLeft": 0, "ArrowDown": 1, "ArrowUp": 0}
            check_arrows(page, group, keys)


def test_arrows_move_in_the_matrix(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["tiny"].path) as page:
        page.locator('#matrix [data-cell="3-3"]').click()
        for key, cell in (
            ("ArrowRight", "3-4"),
            ("ArrowDown", "4-4"),
            ("ArrowLeft", "4-3"),
            ("ArrowUp", "3-3"),
        ):
            page.keyboard.press(key)
            expect(page.locator(f'#matrix [data-cell="{cell}"]')).to_be_focused()
            assert page.locator("#matrix td[tabindex='0']").count() == 1
        assert texts(page, "#product h4 .token") == ["this", "this"]


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_a_key_shows_the_product_with_a_token(
    chromium: Browser, pages: Pages, key: str
) -> None:
    with drawn(chromium, pages["tiny"].path) as page:
        button = page.locator('#scores tr[data-key="4"] button')
        button.focus()
        page.keyboard.press(key)
        assert texts(page, "#product h4 .token") == ["i", "so"]
        expect(button).to_be_focused()
        expect(button).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_a_key_opens_a_term_and_escape_closes_it(
    chromium: Browser, pages: Pages, key: str
) -> None:
    with drawn(chromium, pages["tiny"].path) as page:
        term = page.locator('[data-term="BlockTrace.weights"]').first
        term.focus()
        page.keyboard.press(key)
        dialog = page.get_by_role("dialog", name="weights")
        expect(dialog).to_be_visible()
        assert page.evaluate("document.activeElement.closest('dialog') !== null")
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        expect(term).to_be_focused()


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_a_key_shows_and_hides_the_source(
    chromium: Browser, pages: Pages, key: str
) -> None:
    with drawn(chromium, pages["tiny"].path) as page:
        lines = page.locator('[data-code="ffn"] pre')
        page.locator('[data-code="ffn"] summary').focus()
        page.keyboard.press(key)
        expect(lines).to_be_visible()
        page.keyboard.press(key)
        expect(lines).to_be_hidden()


def test_a_key_changes_the_theme_and_keeps_the_focus(
    chromium: Browser, pages: Pages
) -> None:
    with drawn(chromium, pages["tiny"].path) as page:
        page.locator("#theme").focus()
        page.keyboard.press("Enter")
        assert page.get_attribute("html", "data-theme") == "dark"
        expect(page.locator("#theme")).to_be_focused()
        page.keyboard.press("Space")
        assert page.get_attribute("html", "data-theme") == "light"


def test_the_first_tab_offers_to_skip_the_top(chromium: Browser, pages: Pages) -> None:
    with drawn(chromium, pages["tiny"].path) as page:
        page.keyboard.press("Tab")
        expect(page.locator("#skip")).to_be_in_viewport()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('main') !== null")


def test_a_long_text_keeps_one_stop_for_its_tokens(
    chromium: Browser, pages: Pages
) -> None:
    with drawn(chromium, pages["long"].path) as page:
        assert len(walk(page, "Tab")) < 200
